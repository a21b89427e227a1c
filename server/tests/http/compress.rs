//! `/api/v1/compress`: variants of a tiny model, made by real workers, and everything refused.

use crate::support::{TestServer, request};
use axum::{
    body::{Body, to_bytes},
    http::{Method, StatusCode, header},
};
use serde_json::{Value, json};
use std::time::Duration;
use trimtab_models::tiny::{TinyModel, write_tiny_gguf};

const PATH: &str = "/api/v1/compress";

/// Long enough for a slow machine; no test waits for it when all is well.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server with a tiny model whose queue runs.
async fn server_with_model() -> TestServer {
    let server = TestServer::start().await;
    let file = server.folder.path().join("tiny.gguf");
    write_tiny_gguf(&file, &TinyModel::default()).expect("writable");
    let imported = server.service.import_model(&file, None).await;
    imported.expect("a model");
    server.service.start_queue().await.expect("a free folder");
    server
}

/// Starts a compression and waits until it is done.
async fn made(server: &TestServer, body: &Value) -> Value {
    let answer = server.post(PATH, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let state = answer.json()["state"].as_str().expect("a path").to_owned();
    assert_eq!(answer.header("location"), state);
    let done = async {
        loop {
            let view = server.get(&state).await.json();
            match view["summary"]["state"].as_str().expect("a word") {
                "done" => return view,
                "queued" | "running" => tokio::time::sleep(Duration::from_millis(30)).await,
                other => panic!("{other}: {view}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("it ends")
}

#[tokio::test]
async fn a_variant_is_made_and_its_worst_modules_are_spared_the_next_time() {
    let server = server_with_model().await;
    let view = made(&server, &json!({"model": "tiny", "recipe": "int4"})).await;
    assert_eq!(view["made"]["name"], "tiny:int4");
    assert_eq!(view["layers"].as_array().expect("reports").len(), 2 * 7 + 1);
    let map = &view["map"];
    assert_eq!((&map["n_done"], &map["n_total"]), (&json!(15), &json!(15)));
    assert_eq!(map["rows"].as_array().expect("layers").len(), 2);
    assert_eq!(map["modules"].as_array().expect("modules").len(), 7);
    assert_eq!(map["bounds"].as_array().expect("levels").len(), 8);
    assert!(map["rows"][0]["cells"][0]["report"]["error"].as_f64() > Some(0.0));
    let worst = view["worst"].as_array().expect("the worst");
    assert!((1..=2).contains(&worst.len()), "{worst:?}");

    let improved = &view["improved"];
    assert_eq!(improved["name"], "int4-worst8");
    let preview = json!({"model": "tiny", "recipe": improved});
    let preview = server
        .post(&format!("{PATH}/preview"), &preview)
        .await
        .json();
    assert_eq!(preview["kind"], "ready", "{preview}");
    let better = made(&server, &json!({"model": "tiny", "recipe": improved})).await;
    let error_of = |view: &Value, name: &Value| -> f64 {
        let layers = view["layers"].as_array().expect("reports");
        let layer = layers.iter().find(|layer| layer["name"] == *name);
        layer.expect("the same weights")["error"]
            .as_f64()
            .expect("a number")
    };
    for module in worst {
        let name = &module["name"];
        assert!(
            error_of(&better, name) < 0.1 * error_of(&view, name),
            "{name}"
        );
    }
    // What was foreseen is what was made: a header comes on top.
    let foreseen = preview["forecast"]["file"].as_u64().expect("bytes");
    let size = better["made"]["size"].as_u64().expect("bytes");
    assert!(
        (foreseen..foreseen + 100_000).contains(&size),
        "{foreseen} {size}"
    );
    // The next better one has a name of its own.
    assert_eq!(better["improved"]["name"], "int4-worst8-2");

    let list = server.get(PATH).await.json();
    assert_eq!(list.as_array().expect("a list").len(), 2);
    assert_eq!(list[0]["variant"], "tiny:int4-worst8");
    assert_eq!(server.get("/api/runs").await.json(), json!([]));
    server.service.shutdown().await;
}

#[tokio::test]
async fn the_old_address_and_text_recipes_are_answered_too() {
    let server = server_with_model().await;
    let toml = "name = \"plain\"\n[[steps]]\nmethod = \"cast\"\nto = \"f16\"\n";
    let body = json!({"model": "tiny", "recipe": toml, "name": "mine"});
    let answer = server.post("/compress", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let answer = answer.json();
    assert_eq!(answer["variant"], "mine");
    // Events end with the last state, as those of every run.
    let events = answer["events"].as_str().expect("a path").to_owned();
    let open = request(Method::GET, &events).body(Body::empty());
    let response = server.send(open.expect("valid")).await;
    let body = tokio::time::timeout(PATIENCE, to_bytes(response.into_body(), 1 << 20));
    let bytes = body.await.expect("the stream ends").expect("readable");
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    assert!(text.contains("\"state\":\"done\""), "{text}");
    // Asked for again, nothing has to be made.
    let again = made(
        &server,
        &json!({"model": "tiny", "recipe": toml, "name": "mine"}),
    )
    .await;
    assert_eq!(again["layers"].as_array().expect("reports").len(), 15);
    let other = json!({"model": "tiny", "recipe": "int8", "name": "mine"});
    let answer = server.post(PATH, &other).await;
    answer.is_error(StatusCode::CONFLICT);
    server.service.shutdown().await;
}

/// Recipes that cannot be carried out, and what is said of them.
fn bad_recipes() -> Vec<(Value, &'static str)> {
    let rtn = |change: Value| {
        let mut step = json!({"method": "rtn", "bits": 4, "group_size": 64, "symmetric": false,
            "embedding_bits": 8, "activations": "float"});
        let (step_fields, change) = (step.as_object_mut(), change.as_object().cloned());
        step_fields
            .expect("an object")
            .extend(change.expect("an object"));
        json!({"name": "x", "steps": [step]})
    };
    vec![
        (json!("int3"), "`int3` is not a preset"),
        (json!(4), "neither text nor an object"),
        (json!({"name": "x", "steps": []}), "has no steps"),
        (rtn(json!({"bits": 5})), "`bits` is 5"),
        (rtn(json!({"group_size": 0})), "`group_size` is 0"),
        (rtn(json!({"grup": 1})), "unknown field `grup`"),
        (
            rtn(json!({"overrides": [{"pattern": "nope", "bits": 8}]})),
            "matches no weight",
        ),
        (
            rtn(json!({"overrides": [{"pattern": "q_proj", "bits": 8}]})),
            "multiplied as one",
        ),
        (
            json!({"name": "x", "steps": [{"method": "prune", "by": "magnitude", "sparsity": "5:4"},
                {"method": "cast", "to": "f16"}]}),
            "5:4",
        ),
        (
            json!({"name": "x", "steps": [{"method": "gptq", "bits": 4, "group_size": 64,
                "symmetric": false, "embedding_bits": 8, "activations": "float",
                "calibration": {"sources": [{"file": "/etc/passwd"}]}}]}),
            "is not read from here",
        ),
    ]
}

#[tokio::test]
async fn bad_recipes_are_refused_with_what_to_do() {
    let server = server_with_model().await;
    for (recipe, message) in bad_recipes() {
        let answer = server
            .post(PATH, &json!({"model": "tiny", "recipe": recipe}))
            .await;
        answer.is_error(StatusCode::BAD_REQUEST);
        assert!(answer.text.contains(message), "{}", answer.text);
    }
    let unknown = server
        .post(PATH, &json!({"model": "huge", "recipe": "int8"}))
        .await;
    unknown.is_error(StatusCode::NOT_FOUND);
    let odd = server
        .post(PATH, &json!({"model": "tiny", "recipe": "int8", "bits": 4}))
        .await;
    odd.is_error(StatusCode::BAD_REQUEST);
    let name = json!({"model": "tiny", "recipe": "int8", "name": "tiny:int4"});
    server
        .post(PATH, &name)
        .await
        .is_error(StatusCode::BAD_REQUEST);
    let text = request(Method::POST, PATH).header(header::CONTENT_TYPE, "text/plain");
    let answer = server
        .ask(text.body(Body::from("{}")).expect("valid"))
        .await;
    answer.is_error(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        server.get(PATH).await.json(),
        json!([]),
        "nothing was started"
    );
    server.service.shutdown().await;
}

#[tokio::test]
async fn a_preview_names_the_key_and_says_whether_it_fits() {
    let server = server_with_model().await;
    let preview = format!("{PATH}/preview");
    let ask = async |recipe: Value| {
        let answer = server
            .post(&preview, &json!({"model": "tiny", "recipe": recipe}))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    };
    let toml = "name = \"x\"\n[[steps]]\nmethod = \"cast\"\nto = \"f8\"\n";
    let refused = ask(json!(toml)).await;
    assert_eq!(refused["kind"], "refused");
    let problem = &refused["problem"];
    assert_eq!(
        (&problem["key"], &problem["line"]),
        (&json!("to"), &json!(4)),
        "{problem}"
    );
    let ready = ask(json!("prune-half")).await;
    let forecast = &ready["forecast"];
    assert_eq!(forecast["variant"], "tiny:prune-half");
    assert_eq!(forecast["fits_disk"], true);
    assert_eq!(forecast["places"][0][1], "fits");
    assert_eq!(forecast["calibration"], json!([32, 512]));
    assert!(
        forecast["notes"][0]
            .as_str()
            .is_some_and(|note| note.contains("neither memory"))
    );
    assert!(
        forecast["toml"]
            .as_str()
            .is_some_and(|toml| toml.contains("[[steps]]"))
    );
    assert_eq!(forecast["file"], forecast["f16_file"]);
    let unfetched = json!({"model": "smollm2-135m-instruct", "recipe": "int4"});
    let forecast = &server.post(&preview, &unfetched).await.json()["forecast"];
    assert!(forecast["to_fetch"].as_u64() > Some(0), "{forecast}");
    let unknown = server
        .post(&preview, &json!({"model": "huge", "recipe": "int4"}))
        .await;
    unknown.is_error(StatusCode::NOT_FOUND);
    server.service.shutdown().await;
}

#[tokio::test]
async fn only_compressions_are_found_here() {
    let server = TestServer::start().await;
    let run_id = server.start_run().await;
    for path in [
        format!("{PATH}/{run_id}"),
        format!("{PATH}/99"),
        format!("{PATH}/x"),
    ] {
        server.get(&path).await.is_error(StatusCode::NOT_FOUND);
    }
    let cancel = server
        .post(&format!("{PATH}/{run_id}/cancel"), &json!({}))
        .await;
    cancel.is_error(StatusCode::NOT_FOUND);
    // Without a queue it waits, and can be cancelled and resumed.
    let body = json!({"model": "smollm2-135m-instruct", "recipe": "int8"});
    let started = server.post(PATH, &body).await.json();
    let path = started["state"].as_str().expect("a path");
    let view = server.get(path).await.json();
    assert_eq!(view["summary"]["state"], "queued");
    assert_eq!(
        view["jobs"].as_array().expect("jobs").len(),
        2,
        "fetch and compress"
    );
    assert_eq!(
        view["map"]["n_total"],
        30 * 7 + 1,
        "what is to come is known"
    );
    let cancelled = server.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(cancelled.json()["state"], "cancelled");
    server
        .post(&format!("{path}/cancel"), &json!({}))
        .await
        .is_error(StatusCode::CONFLICT);
    let resumed = server.post(&format!("{path}/resume"), &json!({})).await;
    assert_eq!(resumed.json()["state"], "queued");
    let page = server.get("/compress").await;
    assert!(page.text.contains("smollm2-135m-instruct"), "{}", page.text);
}
