//! What players say to each other without words.

use std::time::Duration;

use starvault_server::Config;
use starvault_wire::{
    Codec,
    v1::{
        Color, Emote, EmoteReceived, Resign, SendEmote, client_frame::Command, error::Code,
        server_frame::Event,
    },
};

use crate::support::{Player, Running, Table, assert_sound, folder, soon};

fn emote(game_id: &str, emote: Emote) -> Command {
    Command::SendEmote(SendEmote {
        game_id: game_id.into(),
        emote: emote.into(),
    })
}

/// Of the next emote; with the frames before it passed over.
async fn heard(player: &mut Player) -> EmoteReceived {
    player
        .until(|frame| match frame.event {
            Some(Event::EmoteReceived(received)) => {
                assert_eq!(frame.request_id, 0);
                Some(received)
            }
            _ => None,
        })
        .await
}

/// Everything that this player hears until its next question is answered.
async fn hears_until_now(player: &mut Player) -> Vec<Event> {
    let request = player.send(Command::Ping(starvault_wire::v1::Ping {})).await;
    let mut heard = Vec::new();
    loop {
        let frame = player.next().await;
        if frame.request_id == request {
            return heard;
        }
        heard.extend(frame.event);
    }
}

/// As many emotes as anybody likes.
fn talkative(config: &mut Config) {
    config.limits.emotes_max = 1_000_000;
    config.limits.commands_per_second = 1_000_000;
    config.limits.commands_burst = 1_000_000;
}

async fn end(table: &mut Table) {
    let resign = Command::Resign(Resign {
        game_id: table.game_id.clone(),
        command_id: "r".into(),
    });
    let sequence = match table.black.ask(resign).await {
        Event::Ack(ack) => ack.sequence,
        refused => panic!("{refused:?}"),
    };
    table.white.game_event(sequence).await;
    table.black.game_event(sequence).await;
}

#[tokio::test]
async fn the_opponent_hears_an_emote_and_nobody_else_does() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    let mut other = server.two_in_a_game().await;
    table.white.send(emote(&table.game_id, Emote::Greeting)).await;
    let told = heard(&mut table.black).await;
    assert_eq!(told.game_id, table.game_id);
    assert_eq!((told.seat(), told.emote()), (Color::White, Emote::Greeting));
    table.black.send(emote(&table.game_id, Emote::Thanks)).await;
    let told = heard(&mut table.white).await;
    assert_eq!((told.seat(), told.emote()), (Color::Black, Emote::Thanks));
    // Not answered, not echoed, not told elsewhere.
    for player in [
        &mut table.white,
        &mut table.black,
        &mut other.white,
        &mut other.black,
    ] {
        assert_eq!(hears_until_now(player).await, []);
    }
    assert_eq!(server.games.emotes_passed.now(), 2);
    server.stop().await;
}

#[tokio::test]
async fn an_emote_is_no_part_of_the_game_and_is_never_told_again() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    table.white.send(emote(&table.game_id, Emote::Oops)).await;
    heard(&mut table.black).await;
    // Sequences go on as if nothing had been said.
    table.play(1, "e2e4").await;
    let mut back = server.connect(&table.black_in, Codec::Json).await;
    let resumed = back.resume(&table.game_id, 0).await;
    assert_eq!(
        resumed
            .missed
            .iter()
            .map(|event| event.sequence)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(hears_until_now(&mut back).await, []);
    // It goes to the newest connection, and comes from it alone.
    table.white.send(emote(&table.game_id, Emote::Thinking)).await;
    assert_eq!(heard(&mut back).await.emote(), Emote::Thinking);
    back.send(emote(&table.game_id, Emote::Thanks)).await;
    assert_eq!(heard(&mut table.white).await.emote(), Emote::Thanks);
    drop((table, back));
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn the_players_of_an_ended_game_can_say_goodbye_while_it_is_kept() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.ended_game_kept = Duration::from_millis(700);
    })
    .await;
    let mut table = server.two_in_a_game().await;
    end(&mut table).await;
    table.white.send(emote(&table.game_id, Emote::GoodGame)).await;
    assert_eq!(heard(&mut table.black).await.emote(), Emote::GoodGame);
    let forgotten = async {
        while server.games.open.now() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the game is forgotten", forgotten).await;
    let code = table.white.refused(emote(&table.game_id, Emote::GoodGame)).await;
    assert_eq!(code, Code::NotInGame);
    server.stop().await;
}

#[tokio::test]
async fn whoever_has_no_seat_says_nothing() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    let cy = server.sign_in("Cy").await;
    let mut stranger = server.connect(&cy, Codec::Proto).await;
    let mut second = server.connect(&table.white_in, Codec::Json).await;
    for player in [&mut stranger, &mut second] {
        let code = player.refused(emote(&table.game_id, Emote::Greeting)).await;
        assert_eq!(code, Code::NotInGame);
        assert_eq!(
            player.refused(emote("g-none", Emote::Greeting)).await,
            Code::NotInGame
        );
        assert_eq!(
            player.refused(emote("no id", Emote::Greeting)).await,
            Code::InvalidArgument
        );
    }
    let wrong = |emote| {
        Command::SendEmote(SendEmote {
            game_id: table.game_id.clone(),
            emote,
        })
    };
    for unknown in [0, 7, -1] {
        // Only the binary codec can say these.
        assert_eq!(stranger.refused(wrong(unknown)).await, Code::InvalidArgument);
    }
    assert_eq!(hears_until_now(&mut table.black).await, []);
    server.stop().await;
}

#[tokio::test]
async fn too_many_emotes_are_refused_and_the_game_goes_on() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.emotes_every = Duration::from_secs(3_600);
    })
    .await;
    let mut table = server.two_in_a_game().await;
    for _ in 0..3 {
        table.white.send(emote(&table.game_id, Emote::Oops)).await;
        heard(&mut table.black).await;
    }
    for _ in 0..2 {
        let code = table.white.refused(emote(&table.game_id, Emote::Oops)).await;
        assert_eq!(code, Code::RateLimited);
    }
    // Each connection has its own allowance.
    table.black.send(emote(&table.game_id, Emote::Thanks)).await;
    heard(&mut table.white).await;
    table.play(1, "e2e4").await;
    assert_eq!(hears_until_now(&mut table.black).await, []);
    assert_eq!(server.games.emotes_refused.now(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_slow_receiver_loses_emotes_and_not_the_game() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        talkative(config);
        config.limits.outbox_frames_max = 16;
    })
    .await;
    let mut table = server.two_in_a_game().await;
    // What the operating systems of both sides hold comes before the outbox.
    let mut slow = Player::connect(server.address, &table.black_in, Codec::Json, Some(4 * 1024)).await;
    slow.resume(&table.game_id, 1).await;
    let filling = async {
        while server.games.emotes_dropped.now() < 100 {
            for _ in 0..200 {
                table.white.send(emote(&table.game_id, Emote::Greeting)).await;
            }
            // They were all taken in.
            hears_until_now(&mut table.white).await;
        }
    };
    soon("emotes are dropped", filling).await;
    let command = table.a_move(1, "e2e4");
    assert!(matches!(table.white.ask(command).await, Event::Ack(_)));
    let told = slow.game_event(2).await;
    assert_eq!(told.sequence, 2);
    assert_eq!(hears_until_now(&mut slow).await, [], "nothing waits any more");
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn nobody_is_refused_because_the_opponent_is_away() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    drop(table.black);
    table.white.presence(false).await;
    table.white.send(emote(&table.game_id, Emote::Greeting)).await;
    assert_eq!(hears_until_now(&mut table.white).await, []);
    assert_eq!(
        (
            server.games.emotes_passed.now(),
            server.games.emotes_dropped.now()
        ),
        (0, 1)
    );
    server.stop().await;
}
