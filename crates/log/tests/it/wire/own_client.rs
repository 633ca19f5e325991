//! The command line's own client.

use super::harness::*;
use tradewind_log::client::{Client, ClientError};
use tradewind_log::wire::WireLimits;
use tradewind_types::{Log, Record};

#[tokio::test]
async fn everything_the_command_line_asks_is_answered() {
    let port = Port::start(WireLimits::default()).await;
    let mut client = Client::connect(&port.address.to_string()).await.unwrap();
    let settings = [("retention.ms".to_owned(), "5".to_owned())];
    client.create_topic("made", Some(2), &settings).await.unwrap();
    assert_eq!(client.topics().await.unwrap(), [("made".to_owned(), 2)].into());
    let again = client.create_topic("made", None, &[]).await.unwrap_err();
    assert!(again.to_string().contains("exists"), "{again}");
    let records: Vec<Record> = (0..10_u8)
        .map(|n| Record {
            timestamp_ms: i64::from(n),
            key: Some(vec![n].into()),
            value: Some(vec![b'v'; 10].into()),
            headers: Vec::new(),
        })
        .collect();
    assert_eq!(client.produce("made", 1, &records).await.unwrap(), 0);
    assert_eq!(client.produce("made", 1, &records).await.unwrap(), 10);
    let (read, next) = client.fetch("made", 1, 7).await.unwrap();
    assert_eq!((read.len(), read[0].offset, next), (13, 7, 20));
    assert_eq!(read[3].record, records[0]);
    assert_eq!(client.fetch("made", 1, 20).await.unwrap(), (vec![], 20));
    assert_eq!(client.offsets("made", 2, 5).await.unwrap(), [(1, 5)].into());
    let places = client.partitions("made").await.unwrap();
    assert_eq!((places[1].high_watermark, places[0].high_watermark), (20, 0));
    assert!(places[1].bytes > 0);
    let changes = [("retention.ms".to_owned(), None), ("segment.ms".to_owned(), Some("7".into()))];
    client.alter_topic("made", &changes).await.unwrap();
    client.add_partitions("made", 5).await.unwrap();
    let own: Vec<_> =
        client.settings("made").await.unwrap().into_iter().filter(|one| one.own).collect();
    assert_eq!((own.len(), own[0].name.as_str(), own[0].value.as_str()), (1, "segment.ms", "7"));
    assert_eq!(port.store.topic("made").unwrap().partitions, 5);
    client.delete_topic("made").await.unwrap();
    let gone = client.partitions("made").await.unwrap_err();
    assert!(matches!(gone, ClientError::Refused { .. }), "{gone}");
    port.stop().await;
    let nobody = Client::connect("127.0.0.1:1").await.unwrap_err();
    assert!(matches!(nobody, ClientError::Unreachable { .. }), "{nobody}");
}

/// Something that is no broker answers: the client says so, and allocates nothing it claims.
#[tokio::test]
async fn what_is_no_broker_is_said_to_be_none() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0, 0, 0, 9, 1], &[0x7f; 4], &[0; 8]]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(answer).await;
        });
        let mut client = Client::connect(&address).await.unwrap();
        assert!(client.topics().await.is_err(), "{answer:?}");
        served.await.unwrap();
    }
}
