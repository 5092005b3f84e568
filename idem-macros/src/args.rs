//! First pass: the options, as written.
//!
//! Each value is parsed as its option requires. [`validate`](crate::validate) checks whether the
//! options go together, and with the function.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, ExprLit, Lit, LitStr, Path, Token, parenthesized};

use crate::duration;
use crate::problem::{Problem, Problems, one_of};

/// The options of one attribute.
#[derive(Default)]
pub(crate) struct Args {
    /// The names of the given options.
    pub(crate) given: Vec<Ident>,
    pub(crate) key: Option<LitStr>,
    pub(crate) ttl: Option<Time>,
    pub(crate) lease: Option<Time>,
    pub(crate) wait: Option<Time>,
    pub(crate) on_error: OnError,
    pub(crate) retry_if: Option<Expr>,
    pub(crate) store_if: Option<Expr>,
    pub(crate) on_crash: OnCrash,
    pub(crate) on_cancel: OnCancel,
    pub(crate) skip: Vec<Ident>,
    pub(crate) tenant: Option<Expr>,
    pub(crate) name: Option<LitStr>,
    pub(crate) instance: Option<Expr>,
    pub(crate) codec: Option<Codec>,
    pub(crate) with: Option<Expr>,
    pub(crate) tx: Option<Ident>,
    pub(crate) map_err: Option<Expr>,
    pub(crate) facade: Option<Path>,
}

impl Args {
    /// The given durations with their options.
    pub(crate) fn times(&self) -> impl Iterator<Item = (&'static str, &Time)> {
        [("ttl", &self.ttl), ("lease", &self.lease), ("wait", &self.wait)]
            .into_iter()
            .filter_map(|(name, time)| Some((name, time.as_ref()?)))
    }
}

/// A duration: a literal, or an expression.
pub(crate) enum Time {
    Known { duration: Duration, written: LitStr },
    Computed(Expr),
}

#[derive(Clone, Copy, Default)]
pub(crate) enum OnError {
    #[default]
    Store,
    Replay,
    Release,
}

#[derive(Clone, Copy, Default)]
pub(crate) enum OnCrash {
    #[default]
    Retry,
    Park,
}

#[derive(Clone, Copy, Default)]
pub(crate) enum OnCancel {
    #[default]
    Crash,
    Finish,
}

pub(crate) enum Codec {
    Json,
    MsgPack,
    Custom(Expr),
}

/// Every option with an example, the help for a value that does not parse.
const OPTIONS: [(&str, &str); 18] = [
    ("key", r#"`key = "payment:{order_id}"`"#),
    ("ttl", r#"`ttl = "15m"`"#),
    ("lease", r#"`lease = "30s"`"#),
    ("wait", r#"`wait = "5s"`"#),
    ("on_error", r#"`on_error = "replay"`"#),
    ("retry_if", "`retry_if = |error| error.is_timeout()`"),
    ("store_if", "`store_if = |value| value.is_final()`"),
    ("on_crash", r#"`on_crash = "park"`"#),
    ("on_cancel", r#"`on_cancel = "finish"`"#),
    ("skip", "`skip(pool, clock)`"),
    ("tenant", "`tenant = req.tenant_id`"),
    ("name", r#"`name = "charge"`"#),
    ("instance", "`instance = C::NAME`"),
    ("codec", r#"`codec = "msgpack"`"#),
    ("with", "`with = self.idempotency`"),
    ("tx", "`tx = tx`"),
    ("map_err", "`map_err = ApiError::from_idempotency`"),
    ("crate", "`crate = my_crate::idempotency`"),
];

/// Parses the options. Each option that does not parse is left out and reported.
pub(crate) fn parse(tokens: TokenStream, problems: &mut Problems) -> Args {
    let mut args = Args::default();
    let all = |input: ParseStream<'_>| {
        while !input.is_empty() {
            let is_read = problems.take(option(input, &mut args)).is_some();
            let goes_on =
                is_read && (problems.take(comma(input)).is_some() || begins_option(input));
            if !goes_on {
                skip_option(input)?;
            }
        }
        Ok(())
    };
    if let Err(error) = all.parse2(tokens) {
        problems.add(Problem::syntax(&error, r#"options look like `key = "…", ttl = "15m"`"#));
    }
    args
}

/// Parses one option.
fn option(input: ParseStream<'_>, args: &mut Args) -> Result<(), Problem> {
    let Ok(name) = input.call(Ident::parse_any) else {
        let help = r#"options look like `key = "payment:{order_id}"` or `ttl = "15m"`"#;
        return Err(Problem::new(next_token(input), "expected the name of an option", help));
    };
    let text = name.to_string();
    let Some((_, example)) = OPTIONS.iter().find(|(option, _)| *option == text) else {
        let help = one_of(&text, &OPTIONS.map(|(option, _)| option));
        return Err(Problem::new(&name, format!("unknown option `{text}`"), help));
    };
    if args.given.contains(&name) {
        let help = "remove one of them";
        return Err(Problem::new(&name, format!("the option `{text}` is given twice"), help));
    }
    let value = Value { input, name: &name, example };
    args.given.push(name.clone());
    match text.as_str() {
        "key" => args.key = Some(value.string()?),
        "ttl" => args.ttl = Some(value.time()?),
        "lease" => args.lease = Some(value.time()?),
        "wait" => args.wait = Some(value.time()?),
        "on_error" => {
            args.on_error = value.choice(&[
                ("store", OnError::Store),
                ("replay", OnError::Replay),
                ("release", OnError::Release),
            ])?;
        }
        "retry_if" => args.retry_if = Some(value.function()?),
        "store_if" => args.store_if = Some(value.function()?),
        "on_crash" => {
            args.on_crash = value.choice(&[("retry", OnCrash::Retry), ("park", OnCrash::Park)])?;
        }
        "on_cancel" => {
            args.on_cancel =
                value.choice(&[("crash", OnCancel::Crash), ("finish", OnCancel::Finish)])?;
        }
        "skip" => args.skip = value.names()?,
        "tenant" => args.tenant = Some(value.expr()?),
        "name" => args.name = Some(value.string()?),
        "instance" => args.instance = Some(value.expr()?),
        "codec" => args.codec = Some(value.codec()?),
        "with" => args.with = Some(value.non_literal("a handle")?),
        "tx" => args.tx = Some(value.argument()?),
        "map_err" => args.map_err = Some(value.function()?),
        _ => args.facade = Some(value.path()?),
    }
    Ok(())
}

fn comma(input: ParseStream<'_>) -> Result<(), Problem> {
    if input.is_empty() || input.parse::<Token![,]>().is_ok() {
        return Ok(());
    }
    Err(Problem::new(next_token(input), "expected a comma", "options are separated by commas"))
}

/// Whether an option comes next, although the comma before it is missing.
fn begins_option(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    ahead.call(Ident::parse_any).is_ok() && (ahead.peek(Token![=]) || ahead.peek(syn::token::Paren))
}

/// Skips to the token after the next comma.
fn skip_option(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && input.parse::<Option<Token![,]>>()?.is_none() {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

/// The unexpected token, for the span of an error.
fn next_token(input: ParseStream<'_>) -> TokenStream {
    input.fork().parse::<TokenTree>().map(TokenTree::into_token_stream).unwrap_or_default()
}

/// The value of an option, not parsed yet.
struct Value<'a> {
    input: ParseStream<'a>,
    name: &'a Ident,
    example: &'a str,
}

impl Value<'_> {
    fn problem(&self, tokens: impl ToTokens, message: String) -> Problem {
        Problem::new(tokens, message, format!("write, for example, {}", self.example))
    }

    fn equals(&self) -> Result<(), Problem> {
        let name = self.name;
        if self.input.parse::<Token![=]>().is_ok() {
            return Ok(());
        }
        Err(self.problem(name, format!("the option `{name}` needs a value")))
    }

    fn expr(&self) -> Result<Expr, Problem> {
        self.equals()?;
        let name = self.name;
        if self.input.is_empty() || self.input.peek(Token![,]) {
            return Err(self.problem(name, format!("the option `{name}` needs a value")));
        }
        let before = self.input.fork();
        let expr = self.input.parse::<Expr>().map_err(|_| {
            self.problem(next_token(&before), format!("the value of `{name}` is not an expression"))
        })?;
        Ok(ungroup(expr))
    }

    /// An expression other than a literal, because a literal cannot be `what`.
    fn non_literal(&self, what: &str) -> Result<Expr, Problem> {
        let expr = self.expr()?;
        if let Expr::Lit(_) = expr {
            let message = format!("the value of `{}` must be {what}, not a literal", self.name);
            return Err(self.problem(expr, message));
        }
        Ok(expr)
    }

    fn argument(&self) -> Result<Ident, Problem> {
        match self.expr()? {
            Expr::Path(path) if path.path.get_ident().is_some_and(|name| name != "self") => {
                path.path.require_ident().cloned().map_err(|error| {
                    Problem::syntax(&error, format!("write, for example, {}", self.example))
                })
            }
            other => Err(self.problem(
                other,
                format!("the value of `{}` must be the name of an argument", self.name),
            )),
        }
    }

    fn function(&self) -> Result<Expr, Problem> {
        self.non_literal("a path or a closure")
    }

    fn string(&self) -> Result<LitStr, Problem> {
        match self.expr()? {
            Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => Ok(literal),
            other => Err(self
                .problem(other, format!("the value of `{}` must be a string literal", self.name))),
        }
    }

    fn time(&self) -> Result<Time, Problem> {
        match self.expr()? {
            Expr::Lit(ExprLit { lit: Lit::Str(written), .. }) => {
                let duration = duration::parse(&self.name.to_string(), &written)?;
                Ok(Time::Known { duration, written })
            }
            expr @ (Expr::Lit(_) | Expr::Unary(_)) => {
                let message =
                    format!("the value of `{}` must be a duration with its unit", self.name);
                Err(self.problem(expr, message))
            }
            expr => Ok(Time::Computed(expr)),
        }
    }

    fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, Problem> {
        let literal = self.string()?;
        let written = literal.value();
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == written) {
            return Ok(*choice);
        }
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let message = format!("unknown value `{written}` of `{}`", self.name);
        Err(Problem::new(literal, message, one_of(&written, &names)))
    }

    fn codec(&self) -> Result<Codec, Problem> {
        let literal = match self.expr()? {
            Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => literal,
            expr @ Expr::Lit(_) => {
                return Err(
                    self.problem(expr, "the value of `codec` must be a name or a path".into())
                );
            }
            expr => return Ok(Codec::Custom(expr)),
        };
        let written = literal.value();
        match written.as_str() {
            "json" => Ok(Codec::Json),
            "msgpack" => Ok(Codec::MsgPack),
            _ => {
                let help = one_of(&written, &["json", "msgpack"])
                    + "; for a codec of your own, write its path without quotes";
                Err(Problem::new(literal, format!("unknown codec `{written}`"), help))
            }
        }
    }

    fn names(&self) -> Result<Vec<Ident>, Problem> {
        let name = self.name;
        let content = (|| {
            let content;
            parenthesized!(content in self.input);
            content.parse_terminated(Ident::parse_any, Token![,])
        })();
        match content {
            Ok(names) if !names.is_empty() => Ok(names.into_iter().collect()),
            _ => Err(self.problem(name, format!("`{name}` takes names of arguments"))),
        }
    }

    fn path(&self) -> Result<Path, Problem> {
        self.equals()?;
        let before = self.input.fork();
        self.input.call(Path::parse_mod_style).map_err(|_| {
            self.problem(
                next_token(&before),
                format!("the value of `{}` must be a path", self.name),
            )
        })
    }
}

/// Macros by example wrap the fragments that they pass on in invisible groups.
fn ungroup(expr: Expr) -> Expr {
    match expr {
        Expr::Group(group) => ungroup(*group.expr),
        expr => expr,
    }
}
