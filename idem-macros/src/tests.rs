//! Expansions of typical shapes as formatted Rust, in `snapshots/`: what a change to the macro
//! changes is seen there.

use proc_macro2::TokenStream;
use quote::quote;

use crate::idempotent_tokens;

/// The expansion of `item` with the attribute's `options`, formatted.
fn expansion(options: TokenStream, item: &TokenStream) -> String {
    let file = syn::parse2(idempotent_tokens(options, item)).expect("the expansion is Rust");
    prettyplease::unparse(&file)
}

macro_rules! snapshot {
    ($name:literal, ($($options:tt)*), $($item:tt)*) => {
        let expansion = expansion(quote!($($options)*), &quote!($($item)*));
        insta::assert_binary_snapshot!(concat!($name, ".rs"), expansion.into_bytes());
    };
}

#[test]
fn without_options() {
    snapshot!(
        "without_options",
        (),
        pub async fn place(id: u64, note: &str) -> Result<u64, Error> {
            Ok(id)
        }
    );
}

#[test]
fn key_template() {
    snapshot!(
        "key_template",
        (key = "payment:{req.user_id}:{req.order_id}", ttl = "15m"),
        async fn charge(req: ChargeRequest) -> Result<Receipt, PaymentError> {
            gateway::charge(req).await
        }
    );
}

#[test]
fn on_cancel_finish() {
    snapshot!(
        "on_cancel_finish",
        (key = "payment:{req.order_id}", on_cancel = "finish", skip(shop)),
        async fn charge(
            self: Arc<Self>,
            req: ChargeRequest,
            shop: Shop,
        ) -> Result<Receipt, PaymentError> {
            shop.charge(req).await
        }
    );
}

#[test]
fn key_prefix() {
    snapshot!(
        "key_prefix",
        (key = "addition"),
        async fn add(a: u32, b: u32) -> crate::Result<u32> {
            Ok(a + b)
        }
    );
}

#[test]
fn transaction() {
    snapshot!(
        "transaction",
        (key = "transfer:{order.id}", tx = tx, wait = "5s"),
        async fn transfer(
            tx: &mut Transaction<'_, Postgres>,
            order: &Order,
        ) -> Result<Receipt, BankError> {
            debit(tx, order).await?;
            credit(tx, order).await
        }
    );
}

#[test]
fn every_option() {
    snapshot!(
        "every_option",
        (
            key = "order:{order.id}",
            ttl = "1h 30m",
            lease = LEASE,
            wait = Duration::from_millis(order.patience),
            on_error = "replay",
            retry_if = Refusal::is_busy,
            store_if = |receipt| receipt.is_final(),
            on_crash = "park",
            skip(pool),
            tenant = order.customer,
            name = "place-order",
            codec = "msgpack",
            with = pool.idempotency,
            map_err = |error| Refusal::of(error),
            crate = shop::idempotency
        ),
        async fn place(order: Order, pool: &Pool) -> Result<Receipt, Refusal> {
            pool.place(order).await
        }
    );
}

#[test]
fn method() {
    snapshot!(
        "method",
        (key = "place:{self.region}:{id}"),
        pub(crate) async fn place(&self, id: u64) -> Result<u64, Error> {
            Ok(self.base + id)
        }
    );
}

#[test]
fn method_without_key() {
    snapshot!(
        "method_without_key",
        (),
        async fn place(self: Arc<Self>, id: u64) -> Result<u64, Error> {
            Ok(self.base + id)
        }
    );
}

#[test]
fn pattern_arguments() {
    snapshot!(
        "pattern_arguments",
        (key = "place:{x}:{id}", skip(pool)),
        async fn place(
            Point { x, y: mut height }: Point,
            Path(id): Path<u64>,
            State(pool): State<Pool>,
            _: u8,
        ) -> Result<u64, Error> {
            height += id;
            Ok(height)
        }
    );
}

#[test]
fn axum_handler() {
    snapshot!(
        "axum_handler",
        (key = "payment:{req.id}", ttl = "15m"),
        async fn pay(
            State(app): State<App>,
            Json(req): Json<Pay>,
        ) -> Result<(StatusCode, Json<Receipt>), ApiError> {
            app.pay(req).await
        }
    );
}

#[test]
fn generics_and_attributes() {
    snapshot!(
        "generics_and_attributes",
        (key = "echo:{id}"),
        /// Echoes.
        #[must_use]
        async fn echo<'a, T: Serialize, const N: usize>(
            id: &'a str,
            #[cfg(unix)] values: [T; N],
        ) -> Result<Cow<'a, str>, Error>
        where
            T: Clone,
        {
            #![allow(unused_variables)]
            Ok(id.into())
        }
    );
}

#[test]
fn unsafe_function() {
    snapshot!(
        "unsafe_function",
        (on_error = "release"),
        async unsafe fn place(id: u64) -> Result<(), Error> {
            unsafe { raw(id) }
        }
    );
}

#[test]
fn impl_future() {
    snapshot!(
        "impl_future",
        (key = "order:{id}"),
        fn place(id: u64, note: &str) -> impl Future<Output = Result<String, Error>> + Send {
            let note = note.to_owned();
            async move { Ok(note) }
        }
    );
}

#[test]
fn async_trait() {
    // What `#[async_trait]` makes of a method.
    snapshot!(
        "async_trait",
        (key = "place:{self.region}:{id}"),
        fn place<'life0, 'async_trait>(
            &'life0 self,
            id: u64,
        ) -> ::core::pin::Pin<
            Box<dyn ::core::future::Future<Output = Result<u64, Error>> + Send + 'async_trait>,
        >
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async move {
                let __self = self;
                let id = id;
                let __ret: Result<u64, Error> = { Ok(__self.base + id) };
                __ret
            })
        }
    );
}

#[test]
fn alias_of_a_boxed_future() {
    snapshot!(
        "alias_of_a_boxed_future",
        (),
        fn place(id: u64) -> Placed {
            Box::pin(async move { Ok(id) })
        }
    );
}

#[test]
fn mistakes_leave_the_function() {
    snapshot!(
        "mistakes_leave_the_function",
        (key = "order:{idd}", tll = "15m", skip(pool)),
        async fn place(id: u64) -> Result<u64, Error> {
            Ok(id)
        }
    );
}
