//! The HTTP side in process: API, pages, files, events and the rules that every request meets.

mod compress;
mod support;

use axum::{
    body::{Body, to_bytes},
    http::{Method, StatusCode, header},
};
use serde_json::json;
use std::time::Duration;
use support::{TestServer, request};
use tokio::time::timeout;

#[tokio::test]
async fn health_reads_the_store() {
    let server = TestServer::start().await;
    let answer = server.get("/health").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        (&answer.json()["status"], &answer.json()["n_runs"]),
        (&json!("ok"), &json!(0))
    );
}

#[tokio::test]
async fn lists_answer_as_json() {
    let server = TestServer::start().await;
    for path in ["/api/runs", "/api/models", "/api/suites", "/api/datasets"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        assert!(answer.json().is_array(), "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let suites = server.get("/api/suites").await.json();
    assert_eq!(suites[0]["name"], "starter");
}

#[tokio::test]
async fn what_does_not_exist_is_404_with_an_error_body() {
    let server = TestServer::start().await;
    for path in [
        "/api/runs/99",
        "/api/runs/x",
        "/api/runs/99/events",
        "/api/runs/99/flips?variant=m:int8",
        "/api/nothing",
        "/api/tradeoffs",
    ] {
        server.get(path).await.is_error(StatusCode::NOT_FOUND);
    }
    server
        .post("/api/runs/99/cancel", &json!({}))
        .await
        .is_error(StatusCode::NOT_FOUND);
    server
        .post("/api/runs/99/resume", &json!({}))
        .await
        .is_error(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn bad_requests_say_what_is_wrong() {
    let server = TestServer::start().await;
    let bad = StatusCode::BAD_REQUEST;
    server.get("/api/tradeoffs?run=x").await.is_error(bad);
    server.get("/api/tradeoffs?runs=1").await.is_error(bad);
    let unknown =
        json!({"variants": ["smollm2-135m-instruct:f16"], "suites": ["starter"], "limits": 1});
    let answer = server.post("/api/runs", &unknown).await;
    answer.is_error(bad);
    assert!(answer.text.contains("limits"), "{}", answer.text);
    let variants = ["smollm2-135m-instruct:f16"];
    let deep = json!({"variants": variants, "suites": ["starter"], "performance": "deep"});
    let answer = server.post("/api/runs", &deep).await;
    answer.is_error(bad);
    assert!(answer.text.contains("deep"), "{}", answer.text);
    server
        .post("/api/runs", &json!({"variants": [], "suites": ["starter"]}))
        .await
        .is_error(bad);
    server
        .post("/api/runs", &json!({"variants": ["a b"], "suites": ["s"]}))
        .await
        .is_error(bad);

    let text = request(Method::POST, "/api/runs").header(header::CONTENT_TYPE, "text/plain");
    let answer = server
        .ask(text.body(Body::from("{}")).expect("valid"))
        .await;
    answer.is_error(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let method = request(Method::DELETE, "/api/models")
        .body(Body::empty())
        .expect("valid");
    server
        .ask(method)
        .await
        .is_error(StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_announced_or_not() {
    let server = TestServer::start().await;
    let large = "x".repeat(300 * 1024);
    let send = |announce: bool| {
        let mut builder =
            request(Method::POST, "/api/runs").header(header::CONTENT_TYPE, "application/json");
        if announce {
            builder = builder.header(header::CONTENT_LENGTH, large.len());
        }
        builder.body(Body::from(large.clone())).expect("valid")
    };
    server
        .ask(send(true))
        .await
        .is_error(StatusCode::PAYLOAD_TOO_LARGE);
    server
        .ask(send(false))
        .await
        .is_error(StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn other_sites_cannot_post() {
    let server = TestServer::start().await;
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        for path in ["/api/runs", "/rpc/list_runs"] {
            let request = request(Method::POST, path)
                .header(name, value)
                .header(header::CONTENT_TYPE, "application/json");
            let answer = server
                .ask(request.body(Body::from("{}")).expect("valid"))
                .await;
            answer.is_error(StatusCode::FORBIDDEN);
        }
    }
}

#[tokio::test]
async fn server_functions_find_the_service() {
    let server = TestServer::start().await;
    let request = request(Method::POST, "/rpc/list_runs")
        .header("origin", "http://127.0.0.1:3000")
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = server
        .ask(request.body(Body::empty()).expect("valid"))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json(), json!([]));
}

#[tokio::test]
async fn pages_bring_a_policy_with_a_fresh_nonce() {
    let server = TestServer::start().await;
    let first = server.get("/").await;
    assert_eq!(first.status, StatusCode::OK);
    assert!(
        first.header("content-type").starts_with("text/html"),
        "{:?}",
        first.headers
    );
    let policy = first.header("content-security-policy");
    let nonce = policy
        .split("'nonce-")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    let nonce = nonce.expect("a nonce");
    assert!(
        first.text.contains(&format!("nonce=\"{nonce}\"")),
        "scripts carry the nonce"
    );
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    let second = server.get("/").await;
    assert_ne!(policy, second.header("content-security-policy"));
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = TestServer::start().await;
    for path in [
        "/",
        "/health",
        "/api/runs",
        "/api/nothing",
        "/pkg/trimtab.js",
        "/no/such/page",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
    }
}

#[tokio::test]
async fn a_page_that_does_not_exist_is_a_page_with_404() {
    let server = TestServer::start().await;
    let answer = server.get("/no/such/page").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(answer.header("content-security-policy").contains("'nonce-"));
}

#[tokio::test]
async fn files_come_compressed_typed_and_are_asked_for_again() {
    let server = TestServer::start().await;
    let plain = server.get("/pkg/trimtab.wasm").await;
    assert_eq!(
        (plain.status, plain.text.as_str()),
        (StatusCode::OK, "\0asm")
    );
    assert_eq!(plain.header("content-type"), "application/wasm");
    assert_eq!(plain.header("cache-control"), "no-cache");
    let changed = plain.header("last-modified").to_owned();

    let request_br =
        request(Method::GET, "/pkg/trimtab.wasm").header("accept-encoding", "gzip, br");
    let small = server
        .ask(request_br.body(Body::empty()).expect("valid"))
        .await;
    assert_eq!(
        (small.text.as_str(), small.header("content-encoding")),
        ("small", "br")
    );
    assert_eq!(small.header("content-type"), "application/wasm");
    assert_eq!(small.header("vary"), "accept-encoding");

    let again = request(Method::GET, "/pkg/trimtab.wasm").header("if-modified-since", changed);
    let again = server.ask(again.body(Body::empty()).expect("valid")).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);

    assert_eq!(
        server.get("/pkg/trimtab.js").await.header("content-type"),
        "text/javascript"
    );
    assert_eq!(
        server.get("/favicon.svg").await.header("content-type"),
        "image/svg+xml"
    );
    for path in ["/pkg/..%2f..%2fdata/trimtab.db", "/%2e%2e/data/trimtab.db"] {
        assert_eq!(
            server.get(path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_run_can_be_planned_without_being_started() {
    let server = TestServer::start().await;
    let variants = ["smollm2-135m-instruct:f16", "smollm2-135m-instruct:int8"];
    let asked = json!({"variants": variants, "suites": ["starter"], "limit": 6});
    let plan = server.post("/api/runs/plan", &asked).await;
    assert_eq!(plan.status, StatusCode::OK, "{}", plan.text);
    let plan = plan.json();
    assert_eq!(plan["together"]["n_problems"], 6);
    assert_eq!(plan["add"][0]["suite"], "the rest of starter");
    assert!(plan["sentence"].is_string() && plan["speed"].is_null());
    let mut full = asked.clone();
    full["performance"] = json!("full");
    let speed = server.post("/api/runs/plan", &full).await.json()["speed"].clone();
    assert_eq!(speed["variants"][1]["variant"], variants[1]);
    assert_eq!(speed["variants"][1]["basis"]["kind"], "nothing");
    assert!(
        server
            .service
            .list_runs()
            .await
            .expect("readable")
            .is_empty()
    );

    let alone = json!({"variants": [variants[0]], "suites": ["starter"]});
    let refused = server.post("/api/runs/plan", &alone).await;
    refused.is_error(StatusCode::BAD_REQUEST);
    let unknown = json!({"variants": [variants[0], "nothing:int8"], "suites": ["starter"]});
    let refused = server.post("/api/runs/plan", &unknown).await;
    refused.is_error(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn flips_are_told_for_each_variant() {
    let server = TestServer::start().await;
    let run_id = server.start_run().await;
    let path = format!("/api/runs/{run_id}/flips");
    server.get(&path).await.is_error(StatusCode::BAD_REQUEST);
    let stranger = format!("{path}?variant=m:int2");
    server.get(&stranger).await.is_error(StatusCode::NOT_FOUND);
    let base = format!("{path}?variant=smollm2-135m-instruct:f16");
    let flips = server.get(&base).await.json();
    assert_eq!(
        (&flips["lost"], &flips["n_compared"]),
        (&json!([]), &json!(0))
    );
}

#[tokio::test]
async fn a_run_can_be_started_looked_at_and_cancelled() {
    let server = TestServer::start().await;
    let run_id = server.start_run().await;
    let shown = server.get(&format!("/api/runs/{run_id}")).await.json();
    assert_eq!(shown["summary"]["state"], "queued");
    assert_eq!(shown["spec"]["baseline"], "smollm2-135m-instruct:f16");
    let cancelled = server
        .post(&format!("/api/runs/{run_id}/cancel"), &json!({}))
        .await;
    assert_eq!(
        (cancelled.status, &cancelled.json()["state"]),
        (StatusCode::OK, &json!("cancelled"))
    );
    let again = server
        .post(&format!("/api/runs/{run_id}/cancel"), &json!({}))
        .await;
    again.is_error(StatusCode::CONFLICT);
    let resumed = server
        .post(&format!("/api/runs/{run_id}/resume"), &json!({}))
        .await;
    assert_eq!(resumed.json()["state"], "queued");
    assert_eq!(server.service.list_runs().await.expect("readable").len(), 1);
}

#[tokio::test]
async fn events_end_with_the_last_state_and_reconnecting_stops() {
    let server = TestServer::start().await;
    let run_id = server.start_run().await;
    let path = format!("/api/runs/{run_id}/events");
    let open = request(Method::GET, &path)
        .body(Body::empty())
        .expect("valid");
    let response = server.send(open).await;
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    server
        .post(&format!("/api/runs/{run_id}/cancel"), &json!({}))
        .await;
    let body = timeout(
        Duration::from_secs(10),
        to_bytes(response.into_body(), 1 << 20),
    );
    let bytes = body.await.expect("the stream ends").expect("readable");
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    assert!(
        text.starts_with("event: run\ndata: {\"kind\":\"run_state\""),
        "{text}"
    );
    assert!(text.contains("\"state\":\"cancelled\""), "{text}");
    assert!(text.ends_with("id: end\n\n"), "{text}");

    // Whoever comes after the end still learns it,
    let late = timeout(Duration::from_secs(10), server.get(&path))
        .await
        .expect("it ends at once");
    assert!(
        late.text.contains("\"state\":\"cancelled\""),
        "{}",
        late.text
    );
    // and whoever had it is sent away.
    let reconnecting = request(Method::GET, &path).header("last-event-id", "end");
    let answer = server
        .ask(reconnecting.body(Body::empty()).expect("valid"))
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn open_event_streams_do_not_hold_up_the_end_of_the_server() {
    let server = TestServer::start().await;
    let run_id = server.start_run().await;
    let open = request(Method::GET, &format!("/api/runs/{run_id}/events"));
    let response = server.send(open.body(Body::empty()).expect("valid")).await;
    server.end.send(true).expect("the router listens");
    let body = timeout(
        Duration::from_secs(5),
        to_bytes(response.into_body(), 1 << 20),
    );
    body.await.expect("the stream ends").expect("readable");
}
