//! Two stores for one test, of either kind, and what the tests do to them behind the program's back.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use starvault_snapshots::{Report, Store, StoreUrl, VerifyOptions, verify};
use tempfile::TempDir;

use crate::mariadb::{self, MariaDb};

pub struct Stores {
    pub primary: Store,
    pub secondary: Store,
    pub urls: [String; 2],
    place: Place,
    _folder: TempDir,
}

enum Place {
    Servers(Arc<[MariaDb; 2]>, String),
    Files,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    MariaDb,
    Sqlite,
}

impl Stores {
    pub async fn new(kind: Kind) -> Stores {
        let stores = Stores::empty(kind).await;
        for url in &stores.urls {
            Store::migrate(&url.parse().unwrap()).await.unwrap();
        }
        stores
    }

    /// Without tables.
    pub async fn empty(kind: Kind) -> Stores {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        let (urls, place) = match kind {
            Kind::MariaDb => {
                let servers = mariadb::shared();
                let urls = [servers[0].database(&name).await, servers[1].database(&name).await];
                (urls, Place::Servers(servers, format!("snap_{name}")))
            }
            Kind::Sqlite => {
                let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
                ([url("primary.sqlite"), url("secondary.sqlite")], Place::Files)
            }
        };
        Stores {
            primary: store(&urls[0]),
            secondary: store(&urls[1]),
            urls,
            place,
            _folder: folder,
        }
    }

    /// Runs SQL in one of them: 0 or 1.
    pub async fn run(&self, side: usize, sql: &str) {
        match &self.place {
            Place::Servers(servers, name) => {
                let mut connection = servers[side].connect(name).await;
                sqlx::raw_sql(AssertSqlSafe(sql))
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
            Place::Files => {
                let path = self.urls[side].strip_prefix("sqlite:").unwrap();
                let options = SqliteConnectOptions::new().filename(path);
                let mut connection = options.connect().await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql))
                    .execute(&mut connection)
                    .await
                    .unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    pub async fn verify(&self, options: &VerifyOptions) -> Report {
        compared(&self.primary, &self.secondary, options).await
    }
}

pub async fn compared(primary: &Store, secondary: &Store, options: &VerifyOptions) -> Report {
    verify(primary, secondary, options, &mut |_| {}).await.unwrap()
}

pub fn store(url: &str) -> Store {
    Store::new(&url.parse::<StoreUrl>().unwrap())
}

/// Makes a test of a scenario for each kind of store.
#[macro_export]
macro_rules! on_each_kind {
    ($($scenario:ident),+ $(,)?) => {
        mod mariadb_servers {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario($crate::stores::Kind::MariaDb).await;
            })+
        }
        mod sqlite_files {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario($crate::stores::Kind::Sqlite).await;
            })+
        }
    };
}
