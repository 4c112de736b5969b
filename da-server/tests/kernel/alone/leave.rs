//! A server that takes leave long after its response: its close alert is no part of that.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use da_server::kernel::{ExchangeOutcome, Unlisted};

use crate::client::{Client, Tls, config};
use crate::edges::{NAME, RESPONSE, exchanges, request, serve};
use crate::lab::{Lab, endpoint};
use crate::turns::undisturbed;

/// How long after its response the server takes leave.
const LEAVES_AFTER: Duration = Duration::from_millis(200);

#[test]
fn a_server_that_takes_leave_long_after_its_response() {
    let _alone = undisturbed();
    let Some(lab) = Lab::open(&[endpoint("edges", NAME)], Unlisted::Drop) else { return };
    let key = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).expect("a certificate");
    let certificate = key.cert.der().clone();
    for tls in [Tls::V13, Tls::V12] {
        let server_key = key.signing_key.serialize_der().try_into().expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server_config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], server_key)
            .expect("a certificate");
        server_config.send_tls13_tickets = 0;
        for hangs_up in [false, true, false, true] {
            let server_config = Arc::new(server_config.clone());
            let (at, server) = serve(move |mut socket| {
                let mut tls = rustls::ServerConnection::new(server_config).expect("a server");
                let mut stream = rustls::Stream::new(&mut tls, &mut socket);
                let read = stream.read(&mut [0; 1024]).expect("reads");
                assert!(read > 0);
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(RESPONSE).expect("writes");
                std::thread::sleep(LEAVES_AFTER);
                tls.send_close_notify();
                tls.write_tls(&mut socket).expect("takes leave");
                if hangs_up {
                    let _ = socket.read(&mut [0]);
                }
            });
            let mut client = Client::connect(at, NAME, Some(&config(&key.cert.pem(), tls)));
            client.handshake().expect("a handshake");
            client.send(&request());
            assert_eq!(client.receive(), RESPONSE);
            client.wait_unread();
            if hangs_up {
                client.hang_up();
                server.join().expect("the server");
            } else {
                server.join().expect("the server");
                client.close();
            }
        }
    }
    let counted = exchanges(lab, 8);
    assert_eq!(counted.len(), 8);
    let timed: Vec<_> = counted.iter().filter_map(|one| one.response_ns).collect();
    assert!(timed.len() >= 6, "{counted:?}");
    // Nor does it matter whether that is read.
    assert!(counted.iter().all(|one| one.outcome != ExchangeOutcome::Aborted), "{counted:?}");
    assert!(
        timed.iter().all(|ns| u128::from(*ns) < LEAVES_AFTER.as_nanos()),
        "the leave is part of a response: {timed:?}"
    );
}
