//! Two real clusters behind one address, as a proxy or a DNS name makes them: one takes the other's
//! place.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use da_testkit::postgres::PASSWORD;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// The one address. Connections that are made go on to where they began.
struct Address {
    at: SocketAddr,
    leads_to: Arc<Mutex<SocketAddr>>,
}

impl Address {
    async fn of(postgres: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let at = listener.local_addr().expect("address");
        let leads_to = Arc::new(Mutex::new(postgres.socket_address()));
        let target = leads_to.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = *target.lock().expect("no panic");
                tokio::spawn(async move {
                    // Nobody there: the client hears that its connection ends.
                    if let Ok(mut server) = TcpStream::connect(target).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { at, leads_to }
    }

    fn lead_to(&self, postgres: &Postgres) {
        *self.leads_to.lock().expect("no panic") = postgres.socket_address();
    }

    fn store(&self) -> Opened {
        Opened::at(&format!("postgres://postgres:{PASSWORD}@{}/postgres", self.at))
    }
}

/// A primary, and a standby that has what the primary has. Their programs are waited for, so this is
/// for a runtime of several threads.
struct Clusters {
    primary: Postgres,
    standby: Postgres,
}

impl Clusters {
    fn start() -> Self {
        let primary = Postgres::start();
        let standby = primary.standby();
        standby.run();
        Self { primary, standby }
    }

    fn wait_until_up_to_date(&self) {
        let written = self.primary.ask("SELECT pg_current_wal_lsn()");
        let has_it = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        let since = Instant::now();
        while self.standby.ask(&has_it) != "t" {
            assert!(since.elapsed() < Duration::from_secs(30), "it does not follow");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn promote(&self) {
        assert_eq!(self.standby.ask("SELECT pg_promote()"), "t");
    }
}

/// Sets whether it takes writes. Once a new connection hears of it, all the others have been told.
fn read_only(postgres: &Postgres, on: &str) {
    postgres.ask(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}"));
    postgres.ask("SELECT pg_reload_conf()");
    while postgres.ask("SHOW default_transaction_read_only") != on {}
}

/// A store at the primary, with a session in it.
async fn with_a_session() -> (Clusters, Address, Opened, Lease) {
    let clusters = Clusters::start();
    let address = Address::of(&clusters.primary).await;
    let opened = address.store();
    let lease = opened.store.create_session(&new_session(1)).await.expect("created");
    (clusters, address, opened, lease)
}

/// The old primary goes on, as one that takes no writes: its connections stay, and it refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_became_read_only_is_left_without_losing_a_turn() {
    if !Postgres::is_there() {
        return;
    }
    let (clusters, address, opened, lease) = with_a_session().await;
    // As many connections as there may be, all to the primary.
    let turns = ["one", "two", "three", "four", "five", "six"].map(turn);
    let adding = turns.iter().map(|turn| opened.store.add_turn(lease, turn, "{}"));
    futures_util::future::join_all(adding).await.into_iter().for_each(|kept| kept.expect("added"));
    clusters.wait_until_up_to_date();

    read_only(&clusters.primary, "on");
    clusters.promote();
    address.lead_to(&clusters.standby);
    let failed_over = Instant::now();
    for number in 0..10 {
        let turn = turn(&format!("after {number}"));
        opened.store.add_turn(lease, &turn, "{}").await.expect("kept by the new primary");
    }
    println!("ten turns were kept {:?} after the failover", failed_over.elapsed());
    assert_eq!(opened.database_errors(), 0.0);
    assert_eq!(clusters.standby.ask("SELECT COUNT(*) FROM turns"), "16");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_followed_by_its_standby() {
    if !Postgres::is_there() {
        return;
    }
    let (clusters, address, opened, lease) = with_a_session().await;
    opened.store.add_turn(lease, &turn("one"), "{}").await.expect("added");
    clusters.wait_until_up_to_date();

    clusters.primary.stop();
    let died = Instant::now();
    opened.store.add_turn(lease, &turn("lost"), "{}").await.expect_err("there is none");
    // The standby is there already, and does not take writes yet.
    address.lead_to(&clusters.standby);
    let refused = opened.store.add_turn(lease, &turn("lost"), "{}").await.expect_err("read only");
    assert!(refused.to_string().contains("read-only"), "{refused}");
    clusters.promote();
    opened.store.add_turn(lease, &turn("two"), "{}").await.expect("the first that it is asked");
    println!("a turn was kept again {:?} after the primary died", died.elapsed());
    let history = opened.store.history(lease, 9).await.expect("read");
    assert!(history == [turn("one"), turn("two")]);
}

/// A single server, without another to go to, that takes writes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_read_only_for_a_while_is_asked_again() {
    if !Postgres::is_there() {
        return;
    }
    let postgres = Postgres::start();
    let opened = Opened::at(&postgres.url_over_tcp());
    let lease = opened.store.create_session(&new_session(1)).await.expect("created");
    read_only(&postgres, "on");
    opened.store.add_turn(lease, &turn("early"), "{}").await.expect_err("read only");
    assert_eq!(opened.database_errors(), 1.0, "each turn that is lost counts once");
    let said = opened.store.ping().await.expect_err("a probe sees it, too").to_string();
    assert!(said.contains("read-only"), "{said}");
    read_only(&postgres, "off");
    opened.store.add_turn(lease, &turn("late"), "{}").await.expect("kept");
}
