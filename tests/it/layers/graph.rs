//! Which module needs which, and whether any of them needs itself by way of others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::source::{Import, Module, ModulePath, Modules};

/// For each module those that it needs, and by which names.
#[derive(Default)]
pub(super) struct Graph(BTreeMap<ModulePath, BTreeMap<ModulePath, BTreeSet<String>>>);

/// Where a path leads.
enum Target {
    Module(ModulePath),
    /// An item of this module.
    Item(ModulePath),
}

pub(super) fn of(modules: &Modules) -> Graph {
    let mut graph = Graph::default();
    for (path, module) in &modules.by_path {
        for import in &module.imports {
            let Some(target) = modules.find(path, &import.path, &mut Vec::new()) else { continue };
            let target = modules.home(&target);
            // The face that a module gives to its children is no use of them.
            let is_face = import.is_reexport && target.starts_with(&module.home);
            if !is_face {
                graph.add(&module.home, target, import.path.join("::"));
            }
        }
        for used in module.uses.iter().filter(|used| !module.imports_for_itself(used)) {
            if let Some(target) = modules.find(path, used, &mut Vec::new()) {
                graph.add(&module.home, modules.home(&target), used.join("::"));
            }
        }
    }
    graph
}

impl Module {
    /// Whether the path is a name that this module imports, which is an edge already.
    fn imports_for_itself(&self, path: &[String]) -> bool {
        let [name] = path else { return false };
        self.imports.iter().any(|import| !import.is_reexport && import.name.as_ref() == Some(name))
    }
}

impl Modules {
    /// The module whose file a target is in.
    fn home(&self, target: &Target) -> ModulePath {
        let (Target::Module(path) | Target::Item(path)) = target;
        self.by_path[path].home.clone()
    }

    /// Where `path` leads from inside the module `from`; `None` for what is not of this crate. `asked` ends circles of imports.
    fn find(
        &self,
        from: &[String],
        path: &[String],
        asked: &mut Vec<(ModulePath, String)>,
    ) -> Option<Target> {
        let mut at = from.to_vec();
        let mut rest = path;
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => {
                    at.pop()?;
                }
                _ => break,
            }
            rest = others;
        }
        let is_anchored = rest.len() < path.len();
        while let Some((first, others)) = rest.split_first() {
            let module = &self.by_path[&at];
            if module.children.contains(first) {
                at.push(first.clone());
                rest = others;
                continue;
            }
            if module.items.contains(first) {
                return Some(Target::Item(at));
            }
            return match self.imported(&at, module, first, asked) {
                Some(Target::Module(module)) if !others.is_empty() => {
                    let mut anchored = vec!["self".to_owned()];
                    anchored.extend_from_slice(others);
                    self.find(&module, &anchored, asked)
                }
                Some(target) => Some(target),
                // What a macro has made is the module's own.
                None => (is_anchored || at.len() > from.len()).then_some(Target::Item(at)),
            };
        }
        Some(Target::Module(at))
    }

    /// Where a name leads that `module` imports.
    fn imported(
        &self,
        at: &ModulePath,
        module: &Module,
        name: &str,
        asked: &mut Vec<(ModulePath, String)>,
    ) -> Option<Target> {
        let question = (at.clone(), name.to_owned());
        if asked.contains(&question) {
            return None;
        }
        asked.push(question);
        let is_named = |import: &&Import| import.name.as_deref() == Some(name);
        let found = match module.imports.iter().find(is_named) {
            Some(import) => self.find(at, &import.path, asked),
            None => module.imports.iter().filter(|import| import.name.is_none()).find_map(|glob| {
                let Some(Target::Module(from)) = self.find(at, &glob.path, asked) else {
                    return None;
                };
                let source = &self.by_path[&from];
                if source.items.contains(name) {
                    Some(Target::Item(from))
                } else if source.children.contains(name) {
                    Some(Target::Module([from, vec![name.to_owned()]].concat()))
                } else {
                    self.imported(&from, source, name, asked)
                }
            }),
        };
        asked.pop();
        found
    }
}

impl Graph {
    fn add(&mut self, from: &ModulePath, to: ModulePath, name: String) {
        if *from != to {
            self.0.entry(from.clone()).or_default().entry(to).or_default().insert(name);
        }
    }

    /// The cycles: for each knot of modules a shortest one, with the names that are its edges.
    pub(super) fn cycles(&self) -> Vec<String> {
        let mut cycles = Vec::new();
        let mut seen = BTreeSet::new();
        for start in self.0.keys() {
            if seen.contains(start) {
                continue;
            }
            if let Some(cycle) = self.shortest(start) {
                seen.extend(cycle.iter().cloned());
                cycles.push(self.told(&cycle));
            }
        }
        cycles
    }

    /// The shortest way from a module back to it.
    fn shortest(&self, start: &ModulePath) -> Option<Vec<ModulePath>> {
        let mut before: BTreeMap<&ModulePath, &ModulePath> = BTreeMap::new();
        let mut reached = vec![start];
        let mut next = 0;
        while let Some(&module) = reached.get(next) {
            next += 1;
            for needed in self.0.get(module).into_iter().flat_map(BTreeMap::keys) {
                if needed == start {
                    let back = std::iter::successors(Some(module), |at| before.get(at).copied());
                    let mut cycle: Vec<_> = back.cloned().collect();
                    cycle.reverse();
                    return Some(cycle);
                }
                if !before.contains_key(needed) {
                    before.insert(needed, module);
                    reached.push(needed);
                }
            }
        }
        None
    }

    fn told(&self, cycle: &[ModulePath]) -> String {
        let mut text = String::new();
        let round = cycle.iter().zip(cycle.iter().cycle().skip(1));
        for (from, to) in round {
            let names: Vec<_> = self.0[from][to].iter().map(String::as_str).collect();
            let name = |path: &ModulePath| match &**path {
                [] => "crate".to_owned(),
                path => path.join("::"),
            };
            let names = names.join(", ");
            writeln!(text, "  {} needs {}: {names}", name(from), name(to)).unwrap();
        }
        text
    }
}
