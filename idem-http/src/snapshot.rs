//! The stored part of a response: its status, the listed headers, its body and its trailers.
//!
//! The format is `MessagePack`, which stores a body without encoding it: an array of status,
//! headers, body and trailers. Headers and trailers are arrays of names and values in their order.

use std::marker::PhantomData;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::body::{Body, Whole};

/// Headers about the response, not about the moment, the connection or the first client.
const KEPT: [HeaderName; 14] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_TYPE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::LINK,
    header::LOCATION,
    header::VARY,
];

/// Headers that are never stored, whatever the settings: credentials, headers about one connection,
/// and those that a replay sets itself.
const NEVER: [&str; 20] = [
    "authentication-info",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "date",
    "idempotent-replayed",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
];

/// Which headers are stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// In addition to the default ones.
    also: Vec<HeaderName>,
}

impl Kept {
    pub(crate) fn add(&mut self, name: HeaderName) {
        if !is_never_kept(&name) {
            self.also.push(name);
        }
    }

    fn has(&self, name: &HeaderName) -> bool {
        KEPT.contains(name) || self.also.contains(name)
    }

    /// The stored headers of a response to `method`.
    fn of<'r>(
        &self,
        method: &Method,
        headers: &'r HeaderMap,
        has_trailers: bool,
    ) -> Vec<(&'r HeaderName, &'r HeaderValue)> {
        // A response to HEAD announces the length of a body that it lacks; other lengths follow
        // from the body.
        let keeps_length = method == Method::HEAD;
        let of_connection = ConnectionOptions::of(headers);
        let keeps = |name: &HeaderName| {
            (self.has(name)
                || keeps_length && name == header::CONTENT_LENGTH
                // HTTP/1.1 sends announced trailers only.
                || has_trailers && name == header::TRAILER)
                && !of_connection.names(name)
        };
        headers.iter().filter(|(name, _)| keeps(name)).collect()
    }
}

fn is_never_kept(name: &HeaderName) -> bool {
    NEVER.contains(&name.as_str())
}

/// The headers that `Connection` lists: they are about this connection alone.
struct ConnectionOptions<'r>(Vec<&'r str>);

impl<'r> ConnectionOptions<'r> {
    fn of(headers: &'r HeaderMap) -> Self {
        let lines =
            headers.get_all(header::CONNECTION).iter().filter_map(|line| line.to_str().ok());
        Self(lines.flat_map(|line| line.split(',').map(str::trim)).collect())
    }

    fn names(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|other| other.eq_ignore_ascii_case(name.as_str()))
    }
}

/// A response as it is stored.
pub(crate) struct Snapshot<'r> {
    status: StatusCode,
    headers: Vec<(&'r HeaderName, &'r HeaderValue)>,
    body: &'r Bytes,
    trailers: Vec<(&'r HeaderName, &'r HeaderValue)>,
}

impl<'r> Snapshot<'r> {
    pub(crate) fn of(kept: &Kept, method: &Method, response: &'r Parts, body: &'r Whole) -> Self {
        let trailers = body.trailers.iter().flatten();
        let trailers: Vec<_> = trailers.filter(|(name, _)| !is_never_kept(name)).collect();
        Self {
            status: response.status,
            headers: kept.of(method, &response.headers, !trailers.is_empty()),
            body: &body.data,
            trailers,
        }
    }
}

impl Serialize for Snapshot<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(4)?;
        tuple.serialize_element(&self.status.as_u16())?;
        tuple.serialize_element(&Fields(&self.headers))?;
        tuple.serialize_element(serde_bytes::Bytes::new(self.body))?;
        tuple.serialize_element(&Fields(&self.trailers))?;
        tuple.end()
    }
}

struct Fields<'f>(&'f [(&'f HeaderName, &'f HeaderValue)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for (name, value) in self.0 {
            seq.serialize_element(&(name.as_str(), serde_bytes::Bytes::new(value.as_bytes())))?;
        }
        seq.end()
    }
}

/// A response made of what was stored.
#[derive(Debug)]
pub(crate) struct Restored {
    status: StatusCode,
    headers: HeaderMap,
    body: Whole,
}

impl Restored {
    pub(crate) fn into_response<B>(self) -> Response<Body<B>> {
        let mut response = Response::new(Body::whole(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl<'de> Deserialize<'de> for Restored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (status, headers, data, trailers) =
            <(u16, ReadFields, Bytes, ReadFields)>::deserialize(deserializer)?;
        let status = StatusCode::from_u16(status).map_err(D::Error::custom)?;
        let trailers = Some(trailers.0).filter(|trailers| !trailers.is_empty());
        Ok(Self { status, headers: headers.0, body: Whole { data, trailers } })
    }
}

struct ReadFields(HeaderMap);

impl<'de> Deserialize<'de> for ReadFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldNames(PhantomData<HeaderMap>);

        impl<'de> Visitor<'de> for FieldNames {
            type Value = ReadFields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("header fields")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ReadFields, A::Error> {
                let mut fields = HeaderMap::with_capacity(seq.size_hint().unwrap_or(0).min(64));
                while let Some((name, value)) = seq.next_element::<(String, Bytes)>()? {
                    let name = HeaderName::try_from(name).map_err(A::Error::custom)?;
                    let value = HeaderValue::from_maybe_shared(value).map_err(A::Error::custom)?;
                    fields.try_append(name, value).map_err(A::Error::custom)?;
                }
                Ok(ReadFields(fields))
            }
        }

        deserializer.deserialize_seq(FieldNames(PhantomData))
    }
}
