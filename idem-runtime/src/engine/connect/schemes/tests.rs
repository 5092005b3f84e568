//! What a registered scheme opens, and which cannot be registered.

use super::super::Idempotency;
use crate::error::ErrorKind;
use crate::storage::{MemoryStorage, StorageError, StorageErrorKind};

async fn memory(_url: String) -> Result<MemoryStorage, StorageError> {
    Ok(MemoryStorage::new())
}

#[tokio::test]
async fn a_registered_scheme_is_opened_in_any_case_with_the_whole_url() {
    let open = |url: String| async move {
        let message = format!("opened with {} bytes", url.len());
        Err::<MemoryStorage, _>(StorageError::new(StorageErrorKind::Configuration, message))
    };
    Idempotency::register_scheme("taught+1", open).unwrap();
    for url in ["taught+1://host/file", "TAUGHT+1://host/file"] {
        let error = Idempotency::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("opened with 20 bytes"), "{error}");
    }
    Idempotency::register_scheme("taught+2", memory).unwrap();
    Idempotency::connect("taught+2:").await.unwrap();

    let error = Idempotency::connect("untaught://user:hunter2@host").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`untaught:…`") && text.contains("`taught+1:`"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_scheme_is_registered_once_and_no_built_in_one_is() {
    Idempotency::register_scheme("once", memory).unwrap();
    let built_in = [
        "memory",
        "unix",
        "redis",
        "rediss",
        "redis-sentinel",
        "redis-cluster",
        "valkey",
        "valkeys",
        "postgres",
        "postgresql",
        "mysql",
        "mariadb",
        "sqlite",
    ];
    for (scheme, why) in [("once", "before")]
        .into_iter()
        .chain(built_in.map(|scheme| (scheme, "own storages")))
        .chain(["", "1a", "Once", "a:b", "a b", "ä", "a\n"].map(|scheme| (scheme, "small letter")))
    {
        let error = Idempotency::register_scheme(scheme, memory).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains(why), "{scheme}: {error}");
    }
}
