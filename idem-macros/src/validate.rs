//! Second pass: whether the options go together and with the function.
//!
//! The result is a [`Plan`], which the third pass turns into tokens.

use proc_macro2::{Group, Ident, Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::{
    Expr, FnArg, LitStr, Pat, Path, ReturnType, Signature, Token, Type, parse_quote_spanned,
};

use crate::args::{Args, OnCancel, Time};
use crate::function::{Argument, Function, name_arguments};
use crate::owned;
use crate::problem::{Problem, Problems, did_you_mean, list};
use crate::returned::{self, Returned};
use crate::tail::{self, Tail};
use crate::template::{self, Placeholder, Segment};

/// Everything that the expansion needs, without mistakes.
pub(crate) struct Plan {
    pub(crate) facade: Path,
    /// The operation's name.
    pub(crate) name: LitStr,
    pub(crate) key: Key,
    /// The arguments that are hashed.
    pub(crate) hashed: Vec<usize>,
    pub(crate) arguments: Vec<Argument>,
    /// The argument that is a transaction.
    pub(crate) tx: Option<Ident>,
    pub(crate) receiver: Option<Token![self]>,
    pub(crate) returned: Returned,
    pub(crate) body: Body,
    pub(crate) args: Args,
    /// With a name in the place of each argument that is a pattern.
    pub(crate) function: Function,
}

impl Plan {
    /// Whether the body runs to completion when its caller is dropped.
    pub(crate) fn outlives_caller(&self) -> bool {
        matches!(self.args.on_cancel, OnCancel::Finish)
    }
}

/// The source of the key.
pub(crate) enum Key {
    /// The function's path and the hash.
    Path,
    /// A prefix and the hash.
    Prefix(LitStr),
    /// The values of a template.
    Template { parts: Vec<Part>, span: Span },
}

/// A part of a key template.
pub(crate) enum Part {
    Literal(String),
    Value { text: String, head: Ident, value: TokenStream },
}

/// The part of the function that runs once.
pub(crate) enum Body {
    /// All of an async function.
    Whole(Group),
    /// The async block that another function ends with.
    Tail(Tail),
}

/// Mistakes in the options alone, independent of the function.
pub(crate) fn check_options(args: &Args, problems: &mut Problems) {
    problems.take(ttl_outlives_lease(args));
    if let Some(name) = &args.name
        && name.value().is_empty()
    {
        let help = "leave `name` out to use the name of the function";
        problems.add(Problem::new(name, "the operation's name is empty", help));
    }
    let Some(_) = &args.tx else { return };
    for option in &args.given {
        if MEANINGLESS_WITH_TX.iter().any(|name| option == name) {
            problems.add(Problem::new(
                option,
                format!("`{option}` has no meaning with `tx`"),
                "remove it: if the owner of a transaction dies, the database rolls it back, and the next call runs",
            ));
        }
    }
}

/// Options about a lease, or about a record whose owner died.
const MEANINGLESS_WITH_TX: [&str; 3] = ["lease", "on_crash", "on_cancel"];

pub(crate) fn validate(
    args: Args,
    mut function: Function,
    problems: &mut Problems,
) -> Option<Plan> {
    let body = body(&function, problems);
    let returned = can_be_async(&function.sig).then(|| returned(&function.sig, body.is_some()));
    let returned = returned.flatten();
    let returned = returned.and_then(|returned| problems.take(returned));
    let self_token = receiver_token(&function.sig);
    let arguments = name_arguments(&mut function.sig);
    let tx = transaction(&args, &arguments, &function.sig, problems);
    let mut hashed = hashed(&arguments, &args.skip, problems);
    hashed.retain(|&index| args.tx.as_ref().is_none_or(|tx| arguments[index].ident != *tx));
    // The tenant is part of the record's name.
    let tenant = args.tenant.as_ref().and_then(whole_name);
    hashed.retain(|&index| tenant.is_none_or(|tenant| arguments[index].names != [tenant.clone()]));
    let key = key(args.key.as_ref(), &arguments, self_token, problems);
    if matches!(args.on_cancel, OnCancel::Finish) && args.tx.is_none() {
        owned::check(&function.sig, problems);
    }
    let name = name(&args, &function.sig);
    Some(Plan {
        facade: args
            .facade
            .clone()
            .unwrap_or_else(|| parse_quote_spanned!(Span::mixed_site()=> ::idempotency)),
        name,
        key: key?,
        hashed,
        arguments,
        tx,
        receiver: self_token,
        returned: returned?,
        body: body?,
        args,
        function,
    })
}

/// The part of the function that runs once. A function that cannot be async gets no error about a
/// missing `async`.
fn body(function: &Function, problems: &mut Problems) -> Option<Body> {
    let sig = &function.sig;
    if let Some(constness) = &sig.constness {
        problems.add(Problem::new(
            constness,
            "a `const fn` cannot be idempotent",
            "remove `const`, because the function calls a storage",
        ));
    }
    if let Some(abi) = &sig.abi {
        problems.add(Problem::new(
            abi,
            "an `extern` function cannot be idempotent",
            "annotate an async function, and call it from this one",
        ));
    }
    if let Some(variadic) = &sig.variadic {
        problems.add(Problem::new(
            variadic,
            "a variadic function cannot be idempotent",
            "replace `...` by named arguments",
        ));
    }
    if !can_be_async(sig) {
        return None;
    }
    let Some(block) = &function.body else {
        problems.add(Problem::new(
            sig,
            "a declaration without a body cannot be idempotent",
            "put the attribute on the method in the `impl` blocks, or give the method a default body",
        ));
        return None;
    };
    if sig.asyncness.is_some() {
        return Some(Body::Whole(block.clone()));
    }
    let tail = tail::find(block).map(Body::Tail);
    if tail.is_none() {
        problems.add(not_async(function));
    }
    tail
}

fn can_be_async(sig: &Signature) -> bool {
    sig.constness.is_none() && sig.abi.is_none() && sig.variadic.is_none()
}

fn not_async(function: &Function) -> Problem {
    let sig = &function.sig;
    if let ReturnType::Type(_, ty) = &sig.output
        && returned::is_future(ty)
    {
        return Problem::new(
            ty,
            "cannot find the future that this function returns",
            "end the function with `async move { … }`, or with `Box::pin(async move { … })`",
        );
    }
    Problem::new(
        sig.fn_token,
        "`#[idempotent]` needs an async function",
        "write `async fn`; if an attribute above this one removes the `async`, put `#[idempotent]` above it",
    )
}

/// The return type; `None` if its mistakes would only repeat another one. A function without a
/// future is treated as the async function that it should be.
fn returned(sig: &Signature, has_future: bool) -> Option<Result<Returned, Problem>> {
    match &sig.output {
        ReturnType::Type(_, ty) if sig.asyncness.is_none() && has_future => {
            Some(returned::of_future(ty))
        }
        ReturnType::Type(_, ty) if sig.asyncness.is_none() && returned::may_be_future(ty) => None,
        output => Some(returned::of_async_fn(&sig.ident, output)),
    }
}

fn receiver_token(sig: &Signature) -> Option<Token![self]> {
    sig.receiver().map(|receiver| receiver.self_token)
}

/// The name, if the expression is nothing but a name.
fn whole_name(expression: &Expr) -> Option<&Ident> {
    match expression {
        Expr::Path(path) if path.qself.is_none() => path.path.get_ident(),
        _ => None,
    }
}

/// The arguments that are not skipped.
fn hashed(arguments: &[Argument], skip: &[Ident], problems: &mut Problems) -> Vec<usize> {
    for (index, name) in skip.iter().enumerate() {
        problems.take(check_skip(name, arguments, skip, index));
    }
    let is_skipped = |argument: &Argument| {
        !argument.names.is_empty() && argument.names.iter().all(|name| skip.contains(name))
    };
    (0..arguments.len()).filter(|&index| !is_skipped(&arguments[index])).collect()
}

fn check_skip(
    name: &Ident,
    arguments: &[Argument],
    skip: &[Ident],
    index: usize,
) -> Result<(), Problem> {
    if skip[..index].contains(name) {
        let message = format!("the argument `{name}` is skipped twice");
        return Err(Problem::new(name, message, "remove one of them"));
    }
    if name == "self" {
        return Err(Problem::new(
            name,
            "`self` is never part of the hash",
            "remove it from `skip`; to use a field of it in the key, write `key = \"…{self.field}…\"`",
        ));
    }
    let Some(argument) = arguments.iter().find(|argument| argument.names.contains(name)) else {
        let message = format!("the function has no argument `{name}` to skip");
        let written = name.to_string();
        return Err(Problem::new(name, message, arguments_help(&written, arguments, None)));
    };
    let others: Vec<_> = argument.names.iter().filter(|other| !skip.contains(other)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let others: Vec<_> = others.iter().map(ToString::to_string).collect();
    let others: Vec<_> = others.iter().map(String::as_str).collect();
    Err(Problem::new(
        name,
        format!("`{name}` is a part of an argument, and arguments are hashed as a whole"),
        format!("skip {} as well, or destructure the argument in the body", list(&others)),
    ))
}

fn key(
    literal: Option<&LitStr>,
    arguments: &[Argument],
    self_token: Option<Token![self]>,
    problems: &mut Problems,
) -> Option<Key> {
    let Some(literal) = literal else { return Some(Key::Path) };
    let segments = template::parse(literal, problems)?;
    if let [Segment::Literal(prefix)] = &segments[..] {
        return Some(Key::Prefix(LitStr::new(prefix, literal.span())));
    }
    let resolve = |segment| match segment {
        Segment::Literal(text) => Some(Part::Literal(text)),
        Segment::Placeholder(placeholder) => {
            let value = resolve(&placeholder, literal, arguments, self_token);
            let value = problems.take(value)?;
            Some(Part::Value { text: placeholder.text, head: placeholder.head, value })
        }
    };
    // Resolves all of them first, so that every mistake is reported.
    let parts: Vec<_> = segments.into_iter().map(resolve).collect();
    let parts = parts.into_iter().collect::<Option<_>>()?;
    Some(Key::Template { parts, span: literal.span() })
}

/// The expression for a placeholder's value.
fn resolve(
    Placeholder { text, head, members }: &Placeholder,
    literal: &LitStr,
    arguments: &[Argument],
    self_token: Option<Token![self]>,
) -> Result<TokenStream, Problem> {
    let problem = |message: String, help: String| Problem::new(literal, message, help);
    if head == "self" {
        let Some(mut self_token) = self_token else {
            return Err(problem(
                format!("the key uses `{{{text}}}`, but the function has no `self`"),
                arguments_help("self", arguments, None),
            ));
        };
        self_token.span = self_token.span.located_at(literal.span());
        return Ok(quote!(#self_token #(.#members)*));
    }
    let mut names = arguments.iter().flat_map(|argument| &argument.names);
    let Some(name) = names.find(|name| *name == head) else {
        let head = head.unraw();
        return Err(problem(
            format!("the key uses `{{{text}}}`, but the function has no argument `{head}`"),
            arguments_help(&head.to_string(), arguments, self_token),
        ));
    };
    let mut name = name.clone();
    name.set_span(name.span().located_at(literal.span()));
    Ok(quote!(#name #(.#members)*))
}

fn arguments_help(
    written: &str,
    arguments: &[Argument],
    self_token: Option<Token![self]>,
) -> String {
    let names = arguments.iter().flat_map(|argument| &argument.names);
    let mut names: Vec<_> = names.map(|name| name.unraw().to_string()).collect();
    names.extend(self_token.map(|_| "self".to_owned()));
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let all = match &names[..] {
        [] => "the function has no arguments with a name".to_owned(),
        [name] => format!("the only argument is `{name}`"),
        names => format!("the arguments are {}", list(names)),
    };
    match did_you_mean(written, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`? {all}"),
        None => all,
    }
}

/// The argument that the option `tx` names.
fn transaction(
    args: &Args,
    arguments: &[Argument],
    sig: &Signature,
    problems: &mut Problems,
) -> Option<Ident> {
    let name = args.tx.as_ref()?;
    if !arguments.iter().any(|argument| argument.names.contains(name)) {
        let message = format!("the function has no argument `{name}` that could be a transaction");
        let help = arguments_help(&name.unraw().to_string(), arguments, None);
        problems.add(Problem::new(name, message, help));
        return None;
    }
    let by_mutable_reference = sig.inputs.iter().any(|input| {
        let FnArg::Typed(typed) = input else { return false };
        let is_it = matches!(&*typed.pat, Pat::Ident(pattern) if pattern.ident == *name);
        is_it && matches!(&*typed.ty, Type::Reference(reference) if reference.mutability.is_some())
    });
    if !by_mutable_reference {
        problems.add(Problem::new(
            name,
            format!("the argument `{name}` is not a mutable reference to a transaction"),
            format!(
                "write `{name}: &mut sqlx::Transaction<'_, sqlx::Postgres>` (or `MySql`, `Sqlite`)"
            ),
        ));
    }
    Some(name.clone())
}

fn ttl_outlives_lease(args: &Args) -> Result<(), Problem> {
    if let (Some(Time::Known { duration: ttl, written }), Some(Time::Known { duration: lease, .. })) =
        (&args.ttl, &args.lease)
        && ttl < lease
    {
        return Err(Problem::new(
            written,
            "the ttl is shorter than the lease",
            "set `ttl`, how long results are kept, to at least `lease`, how long an owner may be silent",
        ));
    }
    Ok(())
}

fn name(args: &Args, sig: &Signature) -> LitStr {
    let of_function = || LitStr::new(&sig.ident.unraw().to_string(), sig.ident.span());
    args.name.clone().unwrap_or_else(of_function)
}
