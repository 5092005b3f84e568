//! The instance of a function: its type and const parameters, its `Self`, the functions around it.
//!
//! An attribute on a function sees neither the surrounding `impl` block nor the types of a call. A
//! closure in the function does: its type's name is the function's path with all of them, including
//! types that no token can name, such as that of an `impl Trait` argument.
//!
//! A free function that is not generic has no instance: `module_path!` alone identifies its
//! operation. Otherwise the compiler's text is normalised, since `std` does not guarantee it:
//! without lifetimes (which compilers before 1.91 do not print), with `std` for `core` and `alloc`,
//! and relative to the function's module. The option `instance = …` avoids the dependency on the
//! compiler.

use std::any::type_name_of_val;
use std::fmt::Write;
use std::ops::Range;

use crate::error::{Error, ErrorKind};

/// The instance of the function around `closure`; none where the function has only one.
///
/// # Errors
///
/// `KeyGeneration` where a type parameter is a type without a name, such as a closure's: two of
/// them would be indistinguishable.
pub fn instance<F>(module: &str, function: &str, closure: &F) -> Result<Option<String>, Error> {
    of_path(module, function, type_name_of_val(closure))
}

fn of_path(module: &str, function: &str, path: &str) -> Result<Option<String>, Error> {
    let own = path.strip_prefix(module).and_then(|rest| rest.strip_prefix("::"));
    let behind = own.and_then(|rest| rest.strip_prefix(function));
    if behind.is_some_and(|rest| rest.replace("::{{closure}}", "").is_empty()) {
        return Ok(None);
    }
    let Some(path) = Reader::new(module, path).read() else {
        let text = "a type parameter of this function is a type without a name, such as a closure's: set the option `instance`";
        return Err(Error::new(ErrorKind::KeyGeneration, text));
    };
    Ok((path != "self").then_some(path))
}

/// Normalises the compiler's text.
struct Reader<'p> {
    module: &'p str,
    rest: &'p str,
    out: String,
    /// Number of open brackets.
    depth: usize,
    /// The last name outside of brackets so far; after the last one, the function's.
    last: Range<usize>,
}

impl<'p> Reader<'p> {
    fn new(module: &'p str, path: &'p str) -> Self {
        Self { module, rest: path, out: String::with_capacity(path.len()), depth: 0, last: 0..0 }
    }

    /// The path without the function's own name, which `name` may have replaced; none where it has
    /// an unnamed type.
    fn read(mut self) -> Option<String> {
        while let Some(next) = self.rest.chars().next() {
            match next {
                '\'' => self.quote(),
                '{' => self.anonymous()?,
                _ if is_of_name(next) => self.name(),
                '-' if self.rest.starts_with("->") => self.take(2),
                '<' | '(' | '[' => {
                    self.depth += 1;
                    self.take(1);
                }
                '>' | ')' | ']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.take(1);
                }
                _ => self.take(next.len_utf8()),
            }
        }
        self.out.replace_range(self.last, "");
        // The separators of the removed names.
        while self.out.ends_with(':') {
            self.out.pop();
        }
        Some(self.out)
    }

    /// Copies `len` bytes, which are whole characters.
    fn take(&mut self, len: usize) {
        let (taken, rest) = self.rest.split_at(len);
        self.out.push_str(taken);
        self.rest = rest;
    }

    /// Reads a name; at the start of a path the function's module becomes `self`, and `core` and
    /// `alloc` become `std`.
    fn name(&mut self) {
        if !self.out.ends_with(':') {
            if let Some(rest) = self.rest.strip_prefix(self.module)
                && rest.starts_with("::")
            {
                self.out.push_str("self");
                self.rest = rest;
                return;
            }
            for facade in ["core::", "alloc::"] {
                if let Some(rest) = self.rest.strip_prefix(facade) {
                    self.out.push_str("std::");
                    self.rest = rest;
                    return;
                }
            }
        }
        // A raw identifier is the same name.
        self.rest = self.rest.strip_prefix("r#").unwrap_or(self.rest);
        let len = self.rest.find(|c| !is_of_name(c)).unwrap_or(self.rest.len());
        if self.depth == 0 {
            self.last = self.out.len()..self.out.len() + len;
        }
        self.take(len);
    }

    /// Reads a character, as a const parameter, or a lifetime.
    fn quote(&mut self) {
        let inner = &self.rest[1..];
        let character = inner.chars().next().map_or(0, char::len_utf8);
        if let Some(escaped) = inner.strip_prefix('\\') {
            let skip = escaped.chars().next().map_or(0, char::len_utf8);
            let end = escaped[skip..].find('\'').map_or(inner.len(), |at| 1 + skip + at + 1);
            self.character(end);
        } else if character > 0 && inner[character..].starts_with('\'') {
            self.character(character + 1);
        } else {
            self.lifetime();
        }
    }

    /// Writes a character of this many bytes, with its closing quote, as hex: it may be a bracket.
    fn character(&mut self, len: usize) {
        let (character, rest) = self.rest[1..].split_at(len);
        for byte in character.strip_suffix('\'').unwrap_or(character).bytes() {
            // Writing to a string does not fail.
            let _ = write!(self.out, "x{byte:02x}");
        }
        self.rest = rest;
    }

    /// Drops a lifetime with its comma, empty brackets, `for` or `+`.
    fn lifetime(&mut self) {
        let inner = &self.rest[1..];
        let len = inner.find(|c| !is_of_name(c)).unwrap_or(inner.len());
        self.rest = inner[len..].trim_start();
        if self.out.ends_with('<') {
            self.rest = self.rest.strip_prefix(',').unwrap_or(self.rest).trim_start();
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.depth = self.depth.saturating_sub(1);
                self.out.pop();
                self.rest = rest;
                if self.out.ends_with("for") {
                    self.out.truncate(self.out.len() - "for".len());
                    self.rest = self.rest.trim_start();
                }
            }
        } else if let Some(bounds) = self.out.strip_suffix(" + ") {
            self.out.truncate(bounds.len());
        }
    }

    /// Reads an unnamed part of a path, `{{closure}}`: dropped if it contains a named item or is
    /// the closure under inspection; none if it is a type by itself.
    fn anonymous(&mut self) -> Option<()> {
        let len = self.rest.find(|c| c != '{').unwrap_or(self.rest.len());
        let end = self.rest.find('}')?;
        let behind = self.rest[end..].trim_start_matches('}');
        if len == 0 || self.depth > 0 && !behind.starts_with("::") {
            return None;
        }
        self.rest = behind.strip_prefix("::").unwrap_or(behind);
        Some(())
    }
}

fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance_of(path: &str) -> Option<String> {
        of_path("a::m", "run", path).unwrap()
    }

    #[test]
    fn plain_function_has_no_instance() {
        assert_eq!(instance_of("a::m::run::{{closure}}"), None);
        assert_eq!(instance_of("a::m::run::{{closure}}::{{closure}}"), None);
        assert_eq!(instance_of("a::m::r#run::{closure#0}"), None);
    }

    /// Stored records depend on these texts: they never change.
    #[test]
    fn instances_are_the_same_for_every_compiler() {
        for (paths, instance) in [
            (&["a::m::X::run::{{closure}}"][..], "self::X"),
            (&["a::m::outer::run::{{closure}}"], "self::outer"),
            (&["a::m::outer::{{closure}}::run::{{closure}}::{{closure}}"], "self::outer"),
            (&["<a::m::X as a::A>::run::{{closure}}"], "<self::X as a::A>"),
            (
                &["<a::m::B as a::A>::run::{{closure}}", "<a::m::B<'_> as a::A>::run::{{closure}}"],
                "<self::B as a::A>",
            ),
            (&["a::m::<impl b::Y>::run::{{closure}}"], "self::<impl b::Y>"),
            (
                &[
                    "a::m::G<&str, 5>::run::{{closure}}",
                    "a::m::G<&'static str, 5>::run::{{closure}}",
                    "a::m::G<'_, &'_ str, 5>::run::{{closure}}",
                ],
                "self::G<&str, 5>",
            ),
            (
                &[
                    "a::m::run<alloc::vec::Vec<core::option::Option<a::T>>, -3>::{{closure}}",
                    "a::m::run<std::vec::Vec<std::option::Option<a::T>>, -3>::{{closure}}",
                ],
                "self::<std::vec::Vec<std::option::Option<a::T>>, -3>",
            ),
            (
                &[
                    "a::m::run<dyn for<'a> core::ops::function::Fn(&'a str) -> &'a str + 'static>::{{closure}}",
                    "a::m::run<dyn core::ops::function::Fn(&str) -> &str>::{{closure}}",
                ],
                "self::<dyn std::ops::function::Fn(&str) -> &str>",
            ),
            (&["a::m::run<'>', true>::{{closure}}"], "self::<x3e, true>"),
            (&["a::m::run<'\\'', 'é'>::{{closure}}"], "self::<x5cx27, xc3xa9>"),
            (&["a::m::run<a::t::{{closure}}::L>::{{closure}}"], "self::<a::t::L>"),
        ] {
            for path in paths {
                assert_eq!(instance_of(path).as_deref(), Some(instance), "{path}");
            }
        }
    }

    #[test]
    fn types_without_a_name_are_refused() {
        for path in
            ["a::m::run<a::main::{{closure}}>::{{closure}}", "a::m::run<(u8, a::f::{{opaque}})>"]
        {
            let error = of_path("a::m", "run", path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::KeyGeneration);
        }
    }

    #[expect(clippy::extra_unused_type_parameters, reason = "the test tells them apart")]
    fn generic<T, const N: i32>() -> Option<String> {
        instance(module_path!(), "generic", &|| {}).unwrap()
    }

    #[test]
    fn compiler_names_what_it_is_asked_for() {
        fn nested() -> Option<String> {
            instance(module_path!(), "nested", &|| {}).unwrap()
        }
        let nested = nested().unwrap();
        assert_eq!(nested, "self::compiler_names_what_it_is_asked_for");
        assert_eq!(generic::<String, -3>().unwrap(), "self::<std::string::String, -3>");
        assert_ne!(generic::<u8, 1>(), generic::<u8, 2>());
        assert_ne!(generic::<u8, 1>(), generic::<u16, 1>());
    }
}
