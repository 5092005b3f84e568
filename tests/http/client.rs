//! A client of the tests, and what it is answered.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::stage::PATIENCE;

/// Sends requests to one server.
#[derive(Clone)]
pub(crate) struct Client {
    hyper: HyperClient<HttpConnector, Full<Bytes>>,
    to: SocketAddr,
}

impl Client {
    pub(crate) fn new(to: SocketAddr) -> Self {
        let hyper = HyperClient::builder(TokioExecutor::new()).build_http();
        Self { hyper, to }
    }

    pub(crate) fn speaking_http2(to: SocketAddr) -> Self {
        let mut builder = HyperClient::builder(TokioExecutor::new());
        Self { hyper: builder.http2_only(true).build_http(), to }
    }

    /// A POST with a key.
    pub(crate) async fn post(&self, path: &str, key: &str, body: &str) -> Reply {
        self.send(self.request(Method::POST, path).header("idempotency-key", key), body.to_owned())
            .await
    }

    /// Likewise, in a task.
    pub(crate) fn post_meanwhile(
        &self,
        path: &'static str,
        key: &'static str,
        body: &'static str,
    ) -> JoinHandle<Reply> {
        let client = self.clone();
        tokio::spawn(async move { client.post(path, key, body).await })
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.to))
    }

    pub(crate) async fn send(
        &self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> Reply {
        let request = request.body(Full::new(body.into())).unwrap();
        let response =
            timeout(PATIENCE, self.hyper.request(request)).await.expect("an answer in time");
        let (head, body) = response.unwrap().into_parts();
        let body = timeout(PATIENCE, body.collect()).await.expect("a body in time").unwrap();
        let trailers = body.trailers().cloned();
        Reply { status: head.status, headers: head.headers, body: body.to_bytes(), trailers }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// That it is a problem of this code and status, and a whole problem document.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(document["code"], code);
        assert_eq!(document["status"], status);
        let kind = document["type"].as_str().unwrap();
        assert!(kind.ends_with(&format!("/docs/http-problems.md#{code}")), "{kind}");
        assert!(document["title"].is_string() && document["detail"].is_string(), "{document}");
    }
}
