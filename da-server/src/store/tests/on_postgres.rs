use da_testkit::postgres::PASSWORD;
use sqlx::{Connection, Executor, PgConnection};

use super::*;
use crate::store::pool::PoolKind;

/// How often the database was opened, and how often a ping waited for a connection to it.
fn tried(opened: &Opened) -> [f64; 2] {
    [Operation::Open, Operation::Ping].map(|operation| opened.queries(operation))
}

#[tokio::test]
async fn a_server_that_is_down_is_said_and_used_once_it_is_up() {
    if !Postgres::is_there() {
        return;
    }
    let postgres = Postgres::new();
    let opened = Opened::at(&postgres.url_over_tcp());
    let said = opened.store.ping().await.expect_err("down").to_string();
    assert_eq!(tried(&opened), [1.0, 0.0], "a refusal needs no waiting for");
    let place = postgres.url_over_tcp().replace(&format!(":{PASSWORD}"), "");
    for part in [place.as_str(), "refused", "DATABASE_URL"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains(PASSWORD), "{said}");
    assert_eq!(opened.failures(Operation::Ping), 1.0);
    assert_eq!(opened.counted("digital_actors_db_connections_limit"), 0.0);

    postgres.run();
    let lease = opened.store.create_session(&new_session(1)).await.expect("up");
    opened.store.add_turn(lease, &turn("one"), "{}").await.expect("added");

    postgres.stop();
    let lost = opened.store.ping().await.expect_err("lost").to_string();
    assert!(lost.contains("refused"), "{lost}");
    let [opening, waiting] = tried(&opened);
    let lost = opened.store.ping().await.expect_err("still lost").to_string();
    assert!(lost.contains("refused"), "{lost}");
    assert_eq!(tried(&opened), [opening + 1.0, waiting], "nor does it when it was lost");
    assert_eq!(opened.failures(Operation::Ping), 3.0, "one for each query");

    postgres.run();
    assert!(opened.store.history(lease, 9).await.expect("back") == [turn("one")]);
    assert_eq!(opened.database_errors(), 0.0);
}

#[tokio::test]
async fn a_restart_between_two_queries_is_not_noticed() {
    if !Postgres::is_there() {
        return;
    }
    let postgres = Postgres::start();
    let opened = Opened::at(&postgres.url_over_tcp());
    let lease = opened.store.create_session(&new_session(1)).await.expect("created");
    postgres.stop();
    postgres.run();
    opened.store.add_turn(lease, &turn("one"), "{}").await.expect("over a new connection");
    assert_eq!(opened.database_errors(), 0.0);
}

/// It answers, and refuses every row that is written, as where its disk is full.
#[tokio::test]
async fn a_server_that_refuses_rows_is_in_order_again_only_when_it_takes_one() {
    if !Postgres::is_there() {
        return;
    }
    let postgres = Postgres::start();
    let opened = Opened::at(&postgres.url_over_tcp());
    let lease = opened.store.create_session(&new_session(1)).await.expect("created");
    opened.store.ping().await.expect("in order");
    postgres.ask(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE disk_full USING MESSAGE = 'no space left'; END $$",
    );
    let tables = ["sessions", "turns"];
    for table in tables {
        postgres.ask(&format!(
            "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} \
             FOR EACH ROW EXECUTE FUNCTION refuse()"
        ));
    }
    opened.store.add_turn(lease, &turn("lost"), "{}").await.expect_err("refused");
    for _ in 0..2 {
        let said = opened.store.ping().await.expect_err("still refused").to_string();
        assert!(said.contains("no space left"), "{said}");
    }
    for table in tables {
        postgres.ask(&format!("DROP TRIGGER refuse ON {table}"));
    }
    opened.store.ping().await.expect("in order again");
    opened.store.add_turn(lease, &turn("one"), "{}").await.expect("kept");
}

/// Another replica brings the tables up to date meanwhile, which may take a minute.
#[tokio::test]
async fn a_player_does_not_wait_until_the_tables_are_up_to_date() {
    if !Postgres::is_there() {
        return;
    }
    let url = Postgres::shared().database();
    Opened::at(&url).store.ping().await.expect("made");
    let mut other = PgConnection::connect(&url).await.expect("connected");
    other.execute("BEGIN; LOCK TABLE _sqlx_migrations").await.expect("locked");
    let opened = Opened::at(&url);
    let said = opened.store.create_session(&new_session(1)).await.expect_err("given up");
    assert!(said.to_string().contains("not finish in time"), "{said}");
    other.execute("ROLLBACK").await.expect("unlocked");
    opened.store.create_session(&new_session(1)).await.expect("created");
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    if !Postgres::is_there() {
        return;
    }
    let right = Postgres::shared().url_over_tcp();
    let opened = Opened::at(&right.replace(PASSWORD, "the-wrong-secret"));
    let said = opened.store.ping().await.expect_err("refused");
    let text = format!("{said} {said:?} {opened:?}", opened = opened.store);
    assert!(text.contains("password authentication failed for user \"postgres\""), "{text}");
    assert!(!text.contains("the-wrong-secret"), "{text}");
}

#[tokio::test]
async fn replicas_that_start_at_once_make_the_tables_once() {
    if !Postgres::is_there() {
        return;
    }
    let url = Postgres::shared().database();
    let replicas: Vec<_> = (0..6).map(|_| Opened::at(&url)).collect();
    let starting = replicas.iter().map(|replica| replica.store.ping());
    for started in futures_util::future::join_all(starting).await {
        started.expect("up to date");
    }
    let lease = replicas[0].store.create_session(&new_session(1)).await.expect("created");
    replicas[0].store.leave_session(lease, "{}").await.expect("left");
    let found = replicas[5].store.claim_session(&new_session(1).token_hash).await.expect("asked");
    assert!(found.is_some());
}

#[tokio::test]
async fn a_server_that_never_answers_is_waited_for_by_all_at_once() {
    if !Postgres::is_there() {
        return;
    }
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = silent.local_addr().expect("address");
    let opened = Opened::at(&format!("postgres://postgres:{PASSWORD}@{address}/postgres"));
    let asking = (0..20).map(|_| opened.store.ping());
    for answer in futures_util::future::join_all(asking).await {
        let said = answer.expect_err("no answer").to_string();
        assert!(said.contains("did not answer"), "{said}");
    }
    // One after the other they would have opened it each for itself.
    assert_eq!(tried(&opened), [1.0, 0.0]);
    assert_eq!(opened.failures(Operation::Ping), 20.0);
}

#[tokio::test]
async fn tls_is_as_the_url_asks() {
    if !Postgres::is_there() {
        return;
    }
    let postgres = Postgres::new();
    let over = |parameters: &str| format!("{}?{parameters}", postgres.url_over_tcp());
    let address = postgres.address();
    let certificate = rcgen::generate_simple_self_signed([address.to_string()]).expect("made");
    let other = rcgen::generate_simple_self_signed([address.to_string()]).expect("made");
    let folder = tempfile::tempdir().expect("folder");
    let root = |name: &str, certificate: &rcgen::Certificate| {
        let path = folder.path().join(name);
        std::fs::write(&path, certificate.pem()).expect("written");
        format!("sslrootcert={}", path.display())
    };
    let (known, unknown) = (root("known.pem", &certificate.cert), root("other.pem", &other.cert));

    postgres.run();
    let refused = Opened::at(&over("sslmode=require")).store.ping().await;
    let said = refused.expect_err("it speaks no TLS").to_string();
    assert!(said.contains("does not support TLS"), "{said}");
    postgres.stop();

    postgres.use_certificate(&certificate.cert.pem(), &certificate.signing_key.serialize_pem());
    postgres.run();
    let verified = Opened::at(&over(&format!("sslmode=verify-full&{known}")));
    verified.store.ping().await.expect("the server that it should be");
    let PoolKind::Postgres(pool) = verified.store.lazy_pool.pool().await.expect("open").kind else {
        panic!("not PostgreSQL")
    };
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(sqlx::query_scalar::<_, bool>(sql).fetch_one(&pool).await.expect("asked"));
    for doubtful in [format!("sslmode=verify-full&{unknown}"), "sslmode=verify-full".to_owned()] {
        let refused = Opened::at(&over(&doubtful)).store.ping().await;
        let said = refused.expect_err("anybody could be that").to_string();
        assert!(said.contains("certificate"), "{said}");
    }
}

#[tokio::test]
async fn a_database_of_another_application_is_refused_and_left_as_it_is() {
    if !Postgres::is_there() {
        return;
    }
    let url = Postgres::shared().database();
    let theirs = sqlx::PgPool::connect(&url).await.expect("connected");
    for sql in ["CREATE TABLE sessions (id INT)", "INSERT INTO sessions VALUES (7)"] {
        sqlx::query(sql).execute(&theirs).await.expect("made");
    }
    let opened = Opened::at(&url);
    let refused = opened.store.create_session(&new_session(1)).await.expect_err("refused");
    assert!(refused.to_string().contains("another application, such as sessions"), "{refused}");
    let tables = "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = 'public'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&theirs).await.expect("asked");
    assert_eq!(tables, ["sessions"]);

    // A schema of its own is enough.
    sqlx::query("CREATE SCHEMA ours").execute(&theirs).await.expect("made");
    let opened = Opened::at(&format!("{url}?options=-c%20search_path%3Dours"));
    opened.store.create_session(&new_session(1)).await.expect("created");
    let kept: Vec<i32> = sqlx::query_scalar("SELECT id FROM public.sessions")
        .fetch_all(&theirs)
        .await
        .expect("asked");
    assert_eq!(kept, [7]);
}
