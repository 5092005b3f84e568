//! What a new version of the code makes of the keys that the old one has left: the table of `docs/deploying.md`, measured.
//!
//! Items in two blocks of one function have one path, so that two versions of a function can be in one program.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use idempotency::{Error, Idempotency, idempotent};
use serde::{Deserialize, Serialize};

use super::pages::root;

static RUNS: AtomicU32 = AtomicU32::new(0);

/// A body's effect.
fn run<T: Default>() -> T {
    RUNS.fetch_add(1, SeqCst);
    T::default()
}

/// What became of a call, when so many had run before it.
fn outcome<T>(result: Result<T, Error>, before: u32) -> String {
    match result {
        Ok(_) if RUNS.load(SeqCst) > before => "run again".to_owned(),
        Ok(_) => "replayed".to_owned(),
        Err(error) => format!("`{:?}`", error.kind()),
    }
}

macro_rules! version {
    ([$($option:tt)*] $([$($more:tt)*])? { $($item:item)* } $name:ident $(<$generic:ident>)? ($($argument:tt)*) -> $result:ty = $call:expr) => {{
        $($item)*
        #[idempotent($($option)* $($($more)*)?)]
        async fn $name $(<$generic: 'static>)? ($($argument)*) -> Result<$result, Error> {
            $(let _ = std::any::type_name::<$generic>();)?
            Ok(run())
        }
        $call
    }};
}

/// The rows of the table: for each change what becomes of a key that exists, with each choice of options.
macro_rules! table {
    (
        options $options:tt;
        $($change:literal: $before:tt => $after:tt;)*
    ) => {
        async fn table() -> Vec<String> {
            let mut rows = Vec::new();
            $({
                let mut row = vec![$change.to_owned()];
                table!(@cells row $options $before $after);
                table!(@cell row [key = "charge:{id}", name = "charge",] $after $before);
                rows.push(format!("| {} |", row.join(" | ")));
            })*
            rows
        }
    };
    (@cells $row:ident [$($option:tt)*] $before:tt $after:tt) => {
        $(table!(@cell $row $option $before $after);)*
    };
    (@cell $row:ident $option:tt { $($before:tt)* } { $($after:tt)* }) => {
        // In a box that a function of its own fills: all cells at once are too large for a stack.
        let cell = || {
            Box::pin(async {
                let idem = Idempotency::memory();
                let runs = RUNS.load(SeqCst);
                let first = idempotency::with(idem.clone(), version!($option $($before)*)).await;
                assert!(first.is_ok() && RUNS.load(SeqCst) == runs + 1);
                let second = idempotency::with(idem, version!($option $($after)*)).await;
                outcome(second, runs + 1)
            })
        };
        $row.push(cell().await);
    };
}

table! {
    options [
        [key = "charge:{id}",]
        [key = "charge:{id}", name = "charge",]
        [name = "charge",]
        []
    ];
    "nothing":
        { {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) }
        => { {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) };
    "the function is renamed":
        { {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) }
        => { {} pay(id: u64, cents: u64) -> u32 = pay(7, 5) };
    "a type argument of a generic function, or `Self`, is renamed":
        { { struct Card; } charge<C>(id: u64, cents: u64) -> u32 = charge::<Card>(7, 5) }
        => { { struct CreditCard; } charge<C>(id: u64, cents: u64) -> u32 = charge::<CreditCard>(7, 5) };
    "an argument is renamed":
        { {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) }
        => { {} charge(id: u64, amount: u64) -> u32 = charge(7, 5) };
    "an argument's type is renamed":
        { { #[derive(Serialize)] struct Order { cents: u64 } } charge(id: u64, order: Order) -> u32 = charge(7, Order { cents: 5 }) }
        => { { #[derive(Serialize)] struct Cart { cents: u64 } } charge(id: u64, cart: Cart) -> u32 = charge(7, Cart { cents: 5 }) };
    "an argument gets another type with the same JSON (`u32`, then `u64`)":
        { {} charge(id: u64, cents: u32) -> u32 = charge(7, 5) }
        => { {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) };
    "an argument gets a type with different JSON (`u64`, then a string)":
        { {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) }
        => { {} charge(id: u64, cents: &str) -> u32 = charge(7, "5") };
    "arguments are reordered":
        { {} charge(id: u64, cents: u64, card: &str) -> u32 = charge(7, 5, "4000") }
        => { {} charge(id: u64, card: &str, cents: u64) -> u32 = charge(7, "4000", 5) };
    "an argument is added":
        { {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) }
        => { {} charge(id: u64, cents: u64, note: Option<u8>) -> u32 = charge(7, 5, None) };
    "a skipped argument is added":
        { {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) }
        => { [skip(_note)] {} charge(id: u64, cents: u64, _note: Option<u8>) -> u32 = charge(7, 5, None) };
    "a field of an argument is renamed":
        { { #[derive(Serialize)] struct Order { cents: u64 } } charge(id: u64, order: Order) -> u32 = charge(7, Order { cents: 5 }) }
        => { { #[derive(Serialize)] struct Order { amount: u64 } } charge(id: u64, order: Order) -> u32 = charge(7, Order { amount: 5 }) };
    "a field of an argument is renamed, with `#[serde(rename)]` to the old name":
        { { #[derive(Serialize)] struct Order { cents: u64 } } charge(id: u64, order: Order) -> u32 = charge(7, Order { cents: 5 }) }
        => { { #[derive(Serialize)] struct Order { #[serde(rename = "cents")] amount: u64 } } charge(id: u64, order: Order) -> u32 = charge(7, Order { amount: 5 }) };
    "fields of an argument are reordered":
        { { #[derive(Serialize)] struct Order { cents: u64, card: u64 } } charge(id: u64, order: Order) -> u32 = charge(7, Order { cents: 5, card: 1 }) }
        => { { #[derive(Serialize)] struct Order { card: u64, cents: u64 } } charge(id: u64, order: Order) -> u32 = charge(7, Order { cents: 5, card: 1 }) };
    "a field is added to an argument":
        { { #[derive(Serialize)] struct Order { cents: u64 } } charge(id: u64, order: Order) -> u32 = charge(7, Order { cents: 5 }) }
        => { { #[derive(Serialize)] struct Order { cents: u64, note: Option<u8> } } charge(id: u64, order: Order) -> u32 = charge(7, Order { cents: 5, note: None }) };
    "a field is added that is not serialized while it is `None`":
        { { #[derive(Serialize)] struct Order { cents: u64 } } charge(id: u64, order: Order) -> u32 = charge(7, Order { cents: 5 }) }
        => { { #[derive(Serialize)] struct Order { cents: u64, #[serde(skip_serializing_if = "Option::is_none")] note: Option<u8> } } charge(id: u64, order: Order) -> u32 = charge(7, Order { cents: 5, note: None }) };
    "the result's type is renamed":
        { { #[derive(Default, Serialize, Deserialize)] struct Receipt { text: String } } charge(id: u64, cents: u64) -> Receipt = charge(7, 5) }
        => { { #[derive(Default, Serialize, Deserialize)] struct Bill { text: String } } charge(id: u64, cents: u64) -> Bill = charge(7, 5) };
    "a field is removed from the result":
        { { #[derive(Default, Serialize, Deserialize)] struct Receipt { text: String, cents: u64 } } charge(id: u64, cents: u64) -> Receipt = charge(7, 5) }
        => { { #[derive(Default, Serialize, Deserialize)] struct Receipt { text: String } } charge(id: u64, cents: u64) -> Receipt = charge(7, 5) };
    "a field is added to the result":
        { { #[derive(Default, Serialize, Deserialize)] struct Receipt { text: String } } charge(id: u64, cents: u64) -> Receipt = charge(7, 5) }
        => { { #[derive(Default, Serialize, Deserialize)] struct Receipt { text: String, cents: u64 } } charge(id: u64, cents: u64) -> Receipt = charge(7, 5) };
    "a field is added to the result, with `#[serde(default)]`":
        { { #[derive(Default, Serialize, Deserialize)] struct Receipt { text: String } } charge(id: u64, cents: u64) -> Receipt = charge(7, 5) }
        => { { #[derive(Default, Serialize, Deserialize)] struct Receipt { text: String, #[serde(default)] cents: u64 } } charge(id: u64, cents: u64) -> Receipt = charge(7, 5) };
    "a field of the result is renamed":
        { { #[derive(Default, Serialize, Deserialize)] struct Receipt { text: String } } charge(id: u64, cents: u64) -> Receipt = charge(7, 5) }
        => { { #[derive(Default, Serialize, Deserialize)] struct Receipt { note: String } } charge(id: u64, cents: u64) -> Receipt = charge(7, 5) };
    "a field of the result is renamed, with `#[serde(alias)]` for its old name":
        { { #[derive(Default, Serialize, Deserialize)] struct Receipt { text: String } } charge(id: u64, cents: u64) -> Receipt = charge(7, 5) }
        => { { #[derive(Default, Serialize, Deserialize)] struct Receipt { #[serde(alias = "text")] note: String } } charge(id: u64, cents: u64) -> Receipt = charge(7, 5) };
    "the result gets another type (`u32`, then a string)":
        { {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) }
        => { {} charge(id: u64, cents: u64) -> String = charge(7, 5) };
    "`ttl`, `lease`, `wait` or `codec` is changed":
        { [ttl = "1h"] {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) }
        => { [ttl = "2h", lease = "1m", wait = "1s", codec = "msgpack"] {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) };
    "`on_error` or `on_crash` is changed":
        { {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) }
        => { [on_error = "release", on_crash = "park"] {} charge(id: u64, cents: u64) -> u32 = charge(7, 5) };
}

/// The row of a function that moves, which needs modules that no function is around.
macro_rules! moves {
    ($change:literal; $($old:ident $new:ident [$($option:tt)*])*) => {
        $(
            mod $old {
                #[idempotency::idempotent($($option)*)]
                pub(super) async fn charge(id: u64, cents: u64) -> Result<u32, idempotency::Error> {
                    Ok(super::run())
                }
            }

            mod $new {
                #[idempotency::idempotent($($option)*)]
                pub(super) async fn charge(id: u64, cents: u64) -> Result<u32, idempotency::Error> {
                    Ok(super::run())
                }
            }
        )*

        async fn moved() -> String {
            let mut row = vec![$change.to_owned()];
            $({
                let idem = Idempotency::memory();
                let runs = RUNS.load(SeqCst);
                assert!(idempotency::with(idem.clone(), $old::charge(7, 5)).await.is_ok());
                let second = idempotency::with(idem, $new::charge(7, 5)).await;
                row.push(outcome(second, runs + 1));
            })*
            // With a name it is the same in both directions.
            row.push(row[2].clone());
            format!("| {} |", row.join(" | "))
        }
    };
}

moves! {
    "the function moves to another module, or its module is renamed";
    old_of_key new_of_key [key = "charge:{id}"]
    old_of_key_and_name new_of_key_and_name [key = "charge:{id}", name = "charge"]
    old_of_name new_of_name [name = "charge"]
    old_of_nothing new_of_nothing []
}

#[tokio::test]
async fn the_table_says_what_a_new_version_makes_of_old_keys() {
    let page = std::fs::read_to_string(root().join("docs/deploying.md")).unwrap();
    let mut rows = table().await;
    rows.insert(2, moved().await);
    let measured = rows.join("\n");
    assert!(page.contains(&measured), "docs/deploying.md has another table than this:\n{measured}");
}
