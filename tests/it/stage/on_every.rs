//! Tests that are made on every backend.

/// Makes a test on every backend of each function named.
macro_rules! on_every_backend {
    ($($name:ident),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::stage::Stage::on_memory()).await;
            })*
        }

        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::stage::Stage::on_redis()).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::stage::Stage::on_postgres().await).await;
            })*
        }

        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::stage::Stage::on_mysql().await).await;
            })*
        }

        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::stage::Stage::on_sqlite().await).await;
            })*
        }
    };
}

/// Makes a test of each function named on every backend that has a server.
macro_rules! on_every_server {
    ($($name:ident),* $(,)?) => {
        mod with_a_server {
            $(mod $name {
                use $crate::stage::{Stage, block_on};

                #[test]
                fn on_redis() {
                    block_on(super::super::$name(Stage::on_redis()));
                }

                #[test]
                fn on_postgres() {
                    block_on(async { super::super::$name(Stage::on_postgres().await).await });
                }

                #[test]
                fn on_mysql() {
                    block_on(async { super::super::$name(Stage::on_mysql().await).await });
                }
            })*
        }
    };
}

/// Makes a test of each function named on every backend that processes share.
macro_rules! on_every_shared_backend {
    ($($name:ident),* $(,)?) => {
        mod with_processes {
            $(mod $name {
                use $crate::stage::{Stage, block_on};

                #[test]
                fn on_redis() {
                    super::super::$name(&Stage::on_redis());
                }

                #[test]
                fn on_postgres() {
                    super::super::$name(&block_on(Stage::on_postgres()));
                }

                #[test]
                fn on_mysql() {
                    super::super::$name(&block_on(Stage::on_mysql()));
                }

                #[test]
                fn on_sqlite() {
                    super::super::$name(&block_on(Stage::on_sqlite()));
                }
            })*
        }
    };
}
