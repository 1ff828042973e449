//! Who is trusted, and who is let in.

use std::time::Duration;

use redis::AsyncConnectionConfig;
use starvault_redis::Address;
use starvault_testing::RedisOverTls;

/// What it answers to a greeting, or why there is no connection.
async fn greeted(text: &str) -> Result<String, String> {
    let address: Address = text.parse().map_err(|wrong| format!("{wrong}"))?;
    let client = address.client().map_err(|error| error.to_string())?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(20)))
        .set_response_timeout(Some(Duration::from_secs(20)));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(|error| error.to_string())?;
    redis::cmd("PING")
        .query_async(&mut connection)
        .await
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_server_is_trusted_by_the_authority_that_the_address_names() {
    let redis = RedisOverTls::start(false);
    let (host, ca) = (redis.host(), redis.file("ca.pem").display().to_string());
    assert_eq!(
        greeted(&format!("rediss://{host}?cacert={ca}")).await.unwrap(),
        "PONG"
    );
    for (text, why) in [
        // The machine does not know the authority.
        (format!("rediss://{host}"), "certificate"),
        // The certificate is of another host.
        (
            format!("rediss://{}?cacert={ca}", host.replace("127.0.0.1", "localhost")),
            "certificate",
        ),
        (
            format!("rediss://{host}?cacert={}", redis.file("own.key").display()),
            "",
        ),
        (format!("redis://{host}"), ""),
    ] {
        let said = greeted(&text).await.unwrap_err();
        assert!(said.contains(why), "{text}: {said}");
    }
}

#[tokio::test]
async fn who_must_say_who_they_are_does_so_with_certificate_and_key() {
    let redis = RedisOverTls::start(true);
    assert_eq!(greeted(&redis.url()).await.unwrap(), "PONG");
    let nobody = format!(
        "rediss://{}?cacert={}",
        redis.host(),
        redis.file("ca.pem").display()
    );
    greeted(&nobody).await.unwrap_err();
}
