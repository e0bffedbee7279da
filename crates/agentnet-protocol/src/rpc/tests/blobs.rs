//! The requests about blobs.

use super::*;

const ID: &str = "blob_01khzkcw3v04hmasw9nf6yy093";

fn error_of<R: Request + Debug>(text: &str) -> String {
    decode_request::<R>(text.as_bytes()).unwrap_err().text().to_owned()
}

#[test]
fn blob_put() {
    assert_eq!(BlobPutRequest::subject(), "registry.blob_put");
    assert_request(&BlobPutRequest::default(), "{}");
    let piece = BlobPutRequest {
        blob_id: some(ID),
        chunk: 3,
        data: vec![0, 255, 254],
        end: None,
    };
    assert_request(&piece, &format!(r#"{{"blob_id":"{ID}","chunk":3,"data":"AP_-"}}"#));
    let last = BlobPutRequest {
        blob_id: some(ID),
        end: Some(BlobEnd {
            size: 3,
            sha256: "0f".repeat(32),
            filename: some("a.png"),
            mime_type: "image/png".to_owned(),
            metadata: Some(raw(r#"{"k":1}"#)),
        }),
        ..BlobPutRequest::default()
    };
    let text = format!(
        r#"{{"blob_id":"{ID}","end":{{"size":3,"sha256":"{}","filename":"a.png","mime_type":"image/png","metadata":{{"k":1}}}}}}"#,
        "0f".repeat(32)
    );
    assert_request(&last, &text);
    for (text, error) in [
        (r#"[]"#.to_owned(), "blob_put payload must be an object"),
        (
            r#"{"data":"A+/="}"#.to_owned(),
            "data must be base64url text without padding",
        ),
        (
            r#"{"end":{"sha256":"x"}}"#.to_owned(),
            "sha256 must be 64 hexadecimal digits",
        ),
        (
            format!(r#"{{"blob_id":"{}"}}"#, "x".repeat(129)),
            "blob_id has 129 bytes; at most 128 are allowed",
        ),
        (
            format!(r#"{{"data":"{}"}}"#, "A".repeat(349_528)),
            "data has 262146 bytes; at most 262144 are allowed",
        ),
        (
            format!(r#"{{"data":"{}"}}"#, "A".repeat(349_529)),
            "data has 349529 bytes; at most 349528 are allowed",
        ),
        (
            format!(
                r#"{{"end":{{"sha256":"{}","metadata":"{}"}}}}"#,
                "0".repeat(64),
                "x".repeat(65_536)
            ),
            "metadata has 65538 bytes; at most 65536 are allowed",
        ),
    ] {
        assert_eq!(error_of::<BlobPutRequest>(&text), error);
    }
    let open = BlobPutReply {
        blob_id: ID.to_owned(),
        state: BlobPutReply::OPEN.to_owned(),
        chunks: 1,
        size: 3,
        max_chunk_bytes: 262_144,
        blob: None,
        generated_at: TIME.to_owned(),
    };
    assert_reply::<BlobPutRequest>(&open, "blob_id state chunks size max_chunk_bytes generated_at");
    let stored = BlobPutReply {
        blob: Some(raw(r#"{"type":"blob_ref"}"#)),
        ..open
    };
    assert_reply::<BlobPutRequest>(&stored, "blob_id state chunks size max_chunk_bytes blob generated_at");
}

#[test]
fn blob_get() {
    assert_eq!(BlobGetRequest::subject(), "registry.blob_get");
    let request = BlobGetRequest {
        blob_id: ID.to_owned(),
        after: 17,
    };
    assert_request(&request, &format!(r#"{{"blob_id":"{ID}","after":17}}"#));
    assert_eq!(error_of::<BlobGetRequest>("{}"), "blob_id is required");
    let reply = BlobGetReply {
        blob_id: ID.to_owned(),
        data: vec![0, 255, 254],
        next: 18,
        generated_at: TIME.to_owned(),
    };
    assert_reply::<BlobGetRequest>(&reply, "blob_id data next generated_at");
}

#[test]
fn blob_stat_and_delete() {
    assert_eq!(BlobStatRequest::subject(), "registry.blob_stat");
    assert_eq!(BlobDeleteRequest::subject(), "registry.blob_delete");
    let text = format!(r#"{{"blob_id":"{ID}"}}"#);
    assert_request(&BlobStatRequest { blob_id: ID.to_owned() }, &text);
    assert_request(&BlobDeleteRequest { blob_id: ID.to_owned() }, &text);
    assert_eq!(error_of::<BlobStatRequest>(r#"{"blob_id":" "}"#), "blob_id is required");
    let reply = BlobStatReply {
        blob: Some(raw(r#"{"type":"blob_ref","blob_id":"b"}"#)),
        account_id: some("acct_1"),
        generated_at: TIME.to_owned(),
    };
    assert_reply::<BlobStatRequest>(&reply, "blob account_id generated_at");
    let reply = BlobDeleteReply {
        blob_id: ID.to_owned(),
        deleted: true,
        generated_at: TIME.to_owned(),
    };
    assert_reply::<BlobDeleteRequest>(&reply, "blob_id deleted generated_at");
}

#[test]
fn blob_share() {
    assert_eq!(BlobShareRequest::subject(), "registry.blob_share");
    let request = BlobShareRequest {
        blob_id: ID.to_owned(),
        to: vec!["acct_2".to_owned(), "capability:chat".to_owned()],
    };
    assert_request(
        &request,
        &format!(r#"{{"blob_id":"{ID}","to":["acct_2","capability:chat"]}}"#),
    );
    let many = format!(r#"{{"blob_id":"b","to":[{}]}}"#, vec![r#""a""#; 101].join(","));
    assert_eq!(
        error_of::<BlobShareRequest>(&many),
        "to has 101 entries; at most 100 are allowed"
    );
    let reply = BlobShareReply {
        blob_id: ID.to_owned(),
        to: vec!["acct_2".to_owned()],
        generated_at: TIME.to_owned(),
    };
    assert_reply::<BlobShareRequest>(&reply, "blob_id to generated_at");
}
