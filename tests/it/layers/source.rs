//! A crate's modules, read from its sources: what each defines, imports and names in its code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Meta, UseTree, Visibility, punctuated::Punctuated, token::Comma};

/// The files of a crate, by their paths under `src`.
pub(super) type Files = BTreeMap<String, String>;

/// A module's path in its crate; the root's is empty.
pub(super) type ModulePath = Vec<String>;

/// A module, in a file of its own or inline.
#[derive(Default)]
pub(super) struct Module {
    /// The module whose file this is in.
    pub(super) home: ModulePath,
    pub(super) children: BTreeSet<String>,
    /// The names that are defined here.
    pub(super) items: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    /// The paths in the code.
    pub(super) uses: BTreeSet<Vec<String>>,
}

/// One name of a `use`, or all of a module's.
pub(super) struct Import {
    pub(super) path: Vec<String>,
    /// `None` for a glob.
    pub(super) name: Option<String>,
    pub(super) is_reexport: bool,
}

/// A crate's modules. Tests are left out.
#[derive(Default)]
pub(super) struct Modules {
    pub(super) by_path: BTreeMap<ModulePath, Module>,
    /// Files and folders that were read or belong to tests.
    known: BTreeSet<String>,
}

/// The files of the crate in `folder`.
pub(super) fn files(folder: &Path) -> Files {
    let source = folder.join("src");
    let mut files = Files::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&source).unwrap().to_str().unwrap();
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            // The snapshots of expansions are no modules.
            if is_source && !name.ends_with(".snap.rs") {
                files.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// Reads the modules from `lib.rs` on.
pub(super) fn read(files: &Files) -> Modules {
    let mut modules = Modules::default();
    modules.read_file(files, "lib.rs", &[], "");
    let is_known = |file: &String| {
        modules.known.iter().any(|known| file == known || file.starts_with(&format!("{known}/")))
    };
    let unread: Vec<_> = files.keys().filter(|file| !is_known(file)).collect();
    assert!(unread.is_empty(), "no module declares {unread:?}");
    modules
}

impl Modules {
    /// Reads a file as the module `path`, whose children's files are in `folder`.
    fn read_file(&mut self, files: &Files, file: &str, path: &[String], folder: &str) {
        self.known.insert(file.to_owned());
        let text = files.get(file).unwrap_or_else(|| panic!("there is no file `{file}`"));
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("`{file}`: {error}"));
        self.read_items(files, &parsed.items, path, path, folder);
    }

    fn read_items(
        &mut self,
        files: &Files,
        items: &[Item],
        path: &[String],
        home: &[String],
        folder: &str,
    ) {
        // Two files may be one module, each behind a `cfg`.
        let mut module = self.by_path.remove(path).unwrap_or_default();
        if module.home != path {
            module.home = home.to_vec();
        }
        for item in items {
            match item {
                Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let file = file_of(files, &child.attrs, &name, folder);
                    if is_test(&child.attrs) {
                        self.known.extend(file.iter().map(|(file, _)| file.clone()));
                        self.known.insert(format!("{folder}{name}"));
                        continue;
                    }
                    module.children.insert(name.clone());
                    let mut path = path.to_vec();
                    path.push(name.clone());
                    match (&child.content, file) {
                        (Some((_, items)), _) => {
                            let folder = format!("{folder}{name}/");
                            self.read_items(files, items, &path, home, &folder);
                        }
                        (None, Some((file, folder))) => {
                            self.read_file(files, &file, &path, &folder);
                        }
                        (None, None) => panic!("the module {path:?} has no file"),
                    }
                }
                _ => module.visit_item(item),
            }
        }
        self.by_path.insert(path.to_vec(), module);
    }
}

/// The file of a child module and the folder of that one's children.
fn file_of(
    files: &Files,
    attributes: &[Attribute],
    name: &str,
    folder: &str,
) -> Option<(String, String)> {
    let inside = format!("{folder}{name}/");
    let named = attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("path") => match &meta.value {
            Expr::Lit(literal) => match &literal.lit {
                syn::Lit::Str(text) => Some(format!("{folder}{}", text.value())),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    let candidates = [format!("{folder}{name}.rs"), format!("{inside}mod.rs")];
    let file = named.or_else(|| candidates.into_iter().find(|file| files.contains_key(file)))?;
    Some((file, inside))
}

/// Whether an item is there in tests alone.
fn is_test(attributes: &[Attribute]) -> bool {
    fn means_test(meta: &Meta) -> bool {
        let Meta::List(list) = meta else { return meta.path().is_ident("test") };
        let parts = list.parse_args_with(Punctuated::<Meta, Comma>::parse_terminated);
        let Ok(parts) = parts else { return false };
        if list.path.is_ident("any") {
            parts.iter().all(means_test)
        } else {
            (list.path.is_ident("all") || list.path.is_ident("cfg")) && parts.iter().any(means_test)
        }
    }
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("cfg") && means_test(&attribute.meta))
}

impl Module {
    fn import(&mut self, tree: &UseTree, path: &mut Vec<String>, is_reexport: bool) {
        match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.import(&part.tree, path, is_reexport);
                path.pop();
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, path, is_reexport));
            }
            UseTree::Glob(_) => {
                self.imports.push(Import { path: path.clone(), name: None, is_reexport });
            }
            UseTree::Name(name) => self.import_as(path, &name.ident, &name.ident, is_reexport),
            UseTree::Rename(rename) => {
                self.import_as(path, &rename.ident, &rename.rename, is_reexport);
            }
        }
    }

    fn import_as(
        &mut self,
        path: &[String],
        what: &syn::Ident,
        name: &syn::Ident,
        is_reexport: bool,
    ) {
        let mut path = path.to_vec();
        // `a::{self}` is `a`.
        if what != "self" || path.is_empty() {
            path.push(what.to_string());
        }
        let name = if name == "self" { path.last().cloned() } else { Some(name.to_string()) };
        self.imports.push(Import { path, name, is_reexport });
    }

    /// Paths in what a macro is given. Of a macro's definition only those count that begin with `crate`: the others are its callers'.
    fn tokens(&mut self, tokens: TokenStream, is_definition: bool) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match &token {
                TokenTree::Ident(ident) if path.is_empty() || colons == 2 => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct)
                    if punct.as_char() == ':' && !path.is_empty() && colons < 2 =>
                {
                    colons += 1;
                }
                _ => {
                    self.used_by_macro(std::mem::take(&mut path), is_definition);
                    colons = 0;
                    match token {
                        TokenTree::Group(group) => self.tokens(group.stream(), is_definition),
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        _ => {}
                    }
                }
            }
        }
        self.used_by_macro(path, is_definition);
    }

    fn used_by_macro(&mut self, path: Vec<String>, is_definition: bool) {
        let Some(first) = path.first() else { return };
        let is_meant = if is_definition {
            first == "crate"
        } else {
            path.len() > 1 || first.starts_with(char::is_uppercase)
        };
        if is_meant {
            self.uses.insert(path);
        }
    }
}

fn names(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::TraitAlias(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Union(item) => (&item.attrs, Some(&item.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            _ => return,
        };
        if is_test(attributes) {
            return;
        }
        self.items.extend(name.map(ToString::to_string));
        match item {
            Item::Use(item) => {
                let is_reexport = !matches!(item.vis, Visibility::Inherited);
                self.import(&item.tree, &mut Vec::new(), is_reexport);
            }
            Item::Macro(item) => self.tokens(item.mac.tokens.clone(), item.ident.is_some()),
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = names(path);
        // One small word may be a variable; as a function it is called.
        if names.len() > 1 || names.iter().all(|name| name.starts_with(char::is_uppercase)) {
            self.uses.insert(names);
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(function) = &*call.func {
            self.uses.insert(names(&function.path));
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.uses.insert(names(&called.path));
        self.tokens(called.tokens.clone(), false);
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}
