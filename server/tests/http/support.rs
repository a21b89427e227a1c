//! A server in this process, and what it answers.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};
use server::{AppState, SiteDir, router};
use std::{fs, path::PathBuf};
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt;
use trimtab_service::{Service, ServiceConfig};

/// A server on an empty data folder, with a site of a few small files.
pub(crate) struct TestServer {
    app: Router,
    pub(crate) service: Service,
    pub(crate) end: watch::Sender<bool>,
    pub(crate) folder: TempDir,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }

    #[track_caller]
    pub(crate) fn is_error(&self, status: StatusCode) {
        assert_eq!(self.status, status, "{}", self.text);
        let body = self.json();
        assert!(
            body["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty()),
            "{body}"
        );
        assert!(body.get("hint").is_some(), "{body}");
    }
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let site = folder.path().join("site");
        fs::create_dir_all(site.join("pkg")).expect("writable");
        let files: [(&str, &[u8]); 4] = [
            ("pkg/trimtab.wasm", b"\0asm"),
            ("pkg/trimtab.wasm.br", b"small"),
            ("pkg/trimtab.js", b"export default 1;"),
            (
                "favicon.svg",
                b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            ),
        ];
        for (name, content) in files {
            fs::write(site.join(name), content).expect("writable");
        }
        let config = ServiceConfig {
            data_dir: folder.path().join("data"),
            worker_exe: PathBuf::from(env!("CARGO_BIN_EXE_trimtab")),
            device: trimtab_domain::DeviceName::Cpu,
        };
        let service = Service::open(config).await.expect("an empty folder opens");
        let site = SiteDir::find(Some(site)).expect("a site");
        let (end, is_ending) = watch::channel(false);
        let app = router(AppState::new(service.clone(), &site, is_ending));
        Self {
            app,
            service,
            end,
            folder,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response {
        self.app
            .clone()
            .oneshot(request)
            .await
            .expect("the router never fails")
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.send(request).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 4 << 20).await.expect("a body");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(
            request(Method::GET, path)
                .body(Body::empty())
                .expect("valid"),
        )
        .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
        self.ask(request.body(Body::from(body.to_string())).expect("valid"))
            .await
    }

    /// A run that stays queued, for no queue was started.
    pub(crate) async fn start_run(&self) -> u64 {
        let wish =
            json!({"variants": ["smollm2-135m-instruct:f16"], "suites": ["starter"], "limit": 1});
        let answer = self.post("/api/runs", &wish).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let run_id = answer.json()["run_id"].as_u64().expect("a number");
        assert_eq!(answer.header("location"), format!("/api/runs/{run_id}"));
        run_id
    }
}

pub(crate) fn request(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "127.0.0.1:3000")
}
