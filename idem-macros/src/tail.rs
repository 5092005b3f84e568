//! The async block at the end of a function without `async`: `#[async_trait]` generates it, and so
//! do people who return `impl Future` or a boxed future.

use proc_macro2::{Group, TokenStream};
use syn::parse::Parser;
use syn::{Block, Expr, Stmt};

/// The function's statements, the last of which holds an async block.
pub(crate) struct Tail {
    /// In order; the block is in the last one.
    pub(crate) statements: Vec<Stmt>,
}

pub(crate) fn find(body: &Group) -> Option<Tail> {
    let mut statements = Block::parse_within.parse2(body.stream()).ok()?;
    let Some(Stmt::Expr(last, None)) = statements.last_mut() else { return None };
    async_block(last)?;
    Some(Tail { statements })
}

impl Tail {
    /// The statements with the content of the async block put through `wrap`, which gives the whole
    /// block.
    pub(crate) fn replace(&self, wrap: impl FnOnce(&Block) -> TokenStream) -> Vec<Stmt> {
        let mut statements = self.statements.clone();
        if let Some(Stmt::Expr(last, None)) = statements.last_mut()
            && let Some(place) = async_block(last)
            && let Expr::Async(found) = &*place
        {
            *place = Expr::Verbatim(wrap(&found.block));
        }
        statements
    }
}

/// The async block in `async { … }`, `Box::pin(async { … })` or `async { … }.boxed()`, or several
/// of these in each other.
fn async_block(expr: &mut Expr) -> Option<&mut Expr> {
    match expr {
        Expr::Async(_) => Some(expr),
        Expr::Paren(paren) => async_block(&mut paren.expr),
        Expr::Group(group) => async_block(&mut group.expr),
        Expr::Cast(cast) => async_block(&mut cast.expr),
        Expr::MethodCall(call) => async_block(&mut call.receiver),
        Expr::Call(call) if call.args.len() == 1 => async_block(call.args.first_mut()?),
        _ => None,
    }
}
