//! Circles of imports: files that need each other belong into one folder, and nouns of a server or
//! of the API do not need each other at all.
//!
//! The check reads paths that begin with `crate::`, `super::` or `self::`, and those of child
//! modules, as text. A name that a module only re-exports counts as its child's. What macros make,
//! and glob imports of re-exported names, it does not see.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// A module's path within its crate, such as `["contract", "decide"]`.
type Module = Vec<String>;

/// A module's file and what can be found through it.
struct Node<'a> {
    source: &'a Source<'a>,
    /// Names that it takes from its children and gives out as its own.
    exports: BTreeMap<String, Module>,
}

/// Whether the folders in this one are nouns, which know each other in one direction only.
fn has_nouns(name: &str, folder: &str) -> bool {
    match name {
        "datapact-server" => ["management", "key", "storage"].contains(&folder),
        "datapact-api" => true,
        _ => false,
    }
}

pub(crate) fn check(sources: &[Source<'_>], findings: &mut Vec<String>) {
    let mut crates: BTreeMap<&str, BTreeMap<Module, Node<'_>>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        if let Some((name, module)) = place(&source.file.path) {
            let node = Node { source, exports: BTreeMap::new() };
            crates.entry(name).or_default().insert(module, node);
        }
    }
    for (name, mut modules) in crates {
        find_exports(&mut modules);
        let edges = edges(&modules);
        for circle in circles(&edges) {
            // Below one folder, files may need each other; the crate's root is no such folder.
            let tops: BTreeSet<_> = circle.iter().map(|module| module.first()).collect();
            if tops.len() > 1 {
                let ties = ties(&edges, |file| circle.contains(file).then(|| file.first()));
                findings.push(format!("{name}: a circle of imports: {ties}"));
            }
        }
        let folders: BTreeSet<&String> = edges.keys().filter_map(|file| file.first()).collect();
        for folder in folders.into_iter().filter(|folder| has_nouns(name, folder)) {
            for circle in circles(&between_nouns(&edges, folder)) {
                let ties = ties(&edges, |file| noun(file, folder).filter(|n| circle.contains(n)));
                findings.push(format!("{name}: nouns know each other in a circle: {ties}"));
            }
        }
    }
}

/// The noun of `folder` that the file is of; the folder's own `mod.rs` is one, too.
fn noun(file: &Module, folder: &String) -> Option<Module> {
    (file.first() == Some(folder)).then(|| file.iter().take(2).cloned().collect())
}

/// Which noun of `folder` imports from which.
fn between_nouns(
    edges: &BTreeMap<Module, BTreeSet<Module>>,
    folder: &String,
) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut found: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (from, targets) in edges {
        let Some(from) = noun(from, folder) else { continue };
        let targets = targets.iter().filter_map(|to| noun(to, folder));
        found.entry(from.clone()).or_default().extend(targets.filter(|to| *to != from));
    }
    found
}

/// The imports from one part into another of the circle; `part` gives the part that a file is of.
fn ties<'a, T: PartialEq>(
    edges: &'a BTreeMap<Module, BTreeSet<Module>>,
    part: impl Fn(&'a Module) -> Option<T>,
) -> String {
    let mut ties = Vec::new();
    for (from, targets) in edges {
        let Some(of) = part(from) else { continue };
        for to in targets.iter().filter(|to| part(to).is_some_and(|part| part != of)) {
            ties.push(format!("{} -> {}", from.join("::"), to.join("::")));
        }
    }
    ties.join(", ")
}

/// The crate and the module of a file. `lib.rs` and `main.rs`, which name all, are left out.
fn place(path: &str) -> Option<(&str, Module)> {
    let (name, file) = path.strip_prefix("crates/")?.split_once("/src/")?;
    let file = file.strip_suffix(".rs")?;
    let file = file.strip_suffix("/mod").unwrap_or(file);
    if ["lib", "main"].contains(&file) || file.starts_with("bin/") {
        return None;
    }
    Some((name, file.split('/').map(str::to_owned).collect()))
}

/// Finds `pub use child::Name` in each module.
fn find_exports(modules: &mut BTreeMap<Module, Node<'_>>) {
    let known: BTreeSet<Module> = modules.keys().cloned().collect();
    for (module, node) in modules {
        let code = node.source.product();
        let uses = code.split("\npub").filter_map(|rest| {
            // `pub use` and `pub(crate) use`
            let rest =
                rest.strip_prefix("(crate)").or(rest.strip_prefix("(super)")).unwrap_or(rest);
            rest.strip_prefix(" use ")
        });
        for path in uses.flat_map(|rest| paths(rest.split(';').next().unwrap_or_default())) {
            let Some((name, way)) = path.split_last() else { continue };
            let way = way.iter().filter(|part| *part != "self").cloned();
            let child: Module = module.iter().cloned().chain(way).collect();
            if child.len() > module.len() && known.contains(&child) {
                node.exports.insert(name.clone(), child);
            }
        }
    }
}

/// Which file imports from which.
fn edges(modules: &BTreeMap<Module, Node<'_>>) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, node) in modules {
        let targets = edges.entry(module.clone()).or_default();
        for path in imports(node.source.product(), module, modules) {
            targets.extend(resolve(&path, modules).filter(|target| target != module));
        }
    }
    edges
}

/// The paths that a file names, from the crate's root.
fn imports(code: &str, module: &Module, modules: &BTreeMap<Module, Node<'_>>) -> Vec<Module> {
    let mut found = Vec::new();
    for mark in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(mark) {
            // Only where a path begins, and not within `super::super::` or `$crate::`.
            if !begins_path(code.get(..at).unwrap_or_default()) {
                continue;
            }
            let statement = code.get(at..).unwrap_or_default().split(';').next();
            found.extend(paths(statement.unwrap_or_default()).into_iter().map(|path| {
                let mut from = if mark == "crate::" { Vec::new() } else { module.clone() };
                let mut rest = path.as_slice();
                while let Some((first, others)) = rest.split_first() {
                    match first.as_str() {
                        "super" => drop(from.pop()),
                        "crate" | "self" => {}
                        _ => break,
                    }
                    rest = others;
                }
                from.extend(rest.iter().cloned());
                from
            }));
        }
    }
    for child in
        modules.keys().filter(|child| child.split_last().is_some_and(|(_, of)| of == module))
    {
        let mark = child.last().map(|name| format!("{name}::")).unwrap_or_default();
        // What is only re-exported is counted for who imports it.
        let is_used = code.lines().filter(|line| !line.starts_with("pub")).any(|line| {
            line.match_indices(&mark).any(|(at, _)| begins_path(line.get(..at).unwrap_or_default()))
        });
        if is_used {
            found.push(child.clone());
        }
    }
    found
}

/// Whether what follows `before` begins a path, and does not continue one.
fn begins_path(before: &str) -> bool {
    let last = before.chars().next_back();
    last.is_none_or(|letter| !letter.is_alphanumeric() && ![':', '_', '$'].contains(&letter))
}

/// The file in which what the path names is found.
fn resolve(path: &Module, modules: &BTreeMap<Module, Node<'_>>) -> Option<Module> {
    let longest = (1..=path.len())
        .rev()
        .find(|length| path.get(..*length).is_some_and(|start| modules.contains_key(start)))?;
    let (module, rest) = path.split_at_checked(longest)?;
    let node = modules.get(module)?;
    match rest.first().and_then(|name| node.exports.get(name)) {
        Some(child) => {
            let further = child.iter().chain(rest).cloned().collect();
            resolve(&further, modules)
        }
        None => Some(module.to_vec()),
    }
}

/// The paths of `a::{b, c::{d, e as f}}`: `a::b`, `a::c::d` and `a::c::e`.
fn paths(text: &str) -> Vec<Module> {
    let mut found = Vec::new();
    // What precedes each open brace, and the path under way.
    let mut outer: Vec<Module> = Vec::new();
    let mut path: Module = Vec::new();
    let mut word = String::new();
    // Whether the path has a part of its own behind the brace.
    let mut is_new = false;
    for letter in text.chars().chain([';']) {
        if letter.is_alphanumeric() || letter == '_' {
            word.push(letter);
            continue;
        }
        let said = std::mem::take(&mut word);
        if !said.is_empty() && said != "as" {
            path.push(said);
            is_new = true;
        }
        let is_blank = letter.is_whitespace() && !outer.is_empty();
        if letter == ':' || is_blank {
            continue;
        }
        if std::mem::take(&mut is_new) && letter != '{' {
            found.push(path.clone());
        }
        match letter {
            '{' if text.contains("::{") => outer.push(path.clone()),
            ',' | '}' if !outer.is_empty() => {
                path = outer.last().cloned().unwrap_or_default();
                if letter == '}' {
                    outer.pop();
                }
            }
            _ => break,
        }
    }
    found
}

/// Sets of modules each of which reaches the others.
fn circles(edges: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        edges.keys().map(|module| (module, reachable(module, edges))).collect();
    let mut seen: BTreeSet<&Module> = BTreeSet::new();
    let mut found = Vec::new();
    for (module, from_here) in &reached {
        if !from_here.contains(module) || seen.contains(module) {
            continue;
        }
        let circle: Vec<&Module> = from_here
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(module)))
            .copied()
            .collect();
        seen.extend(&circle);
        found.push(circle.into_iter().cloned().collect());
    }
    found
}

fn reachable<'a>(
    from: &'a Module,
    edges: &'a BTreeMap<Module, BTreeSet<Module>>,
) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for target in edges.get(module).into_iter().flatten() {
            if found.insert(target) {
                open.push(target);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TextFile;

    fn found(files: &[(&str, &str)]) -> String {
        found_in("a", files)
    }

    fn found_in(of: &str, files: &[(&str, &str)]) -> String {
        let files: Vec<TextFile> = files
            .iter()
            .map(|(name, text)| TextFile {
                path: format!("crates/{of}/src/{name}.rs"),
                text: format!("\n{text}\n"),
            })
            .collect();
        let sources: Vec<Source<'_>> = files.iter().map(Source::new).collect();
        let mut findings = Vec::new();
        check(&sources, &mut findings);
        findings.join("\n")
    }

    #[test]
    fn paths_in_braces_are_all_found() {
        let found = paths("crate::a::{b, c::{self, D as E}, f}");
        let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
        assert_eq!(found, ["crate::a::b", "crate::a::c::self", "crate::a::c::D::E", "crate::a::f"]);
        let first = paths("crate::a::b(c)").swap_remove(0);
        assert_eq!(first, ["crate", "a", "b"]);
    }

    #[test]
    fn files_that_import_each_other_are_a_circle() {
        let circle = found(&[("b", "use crate::c::C;"), ("c", "use super::b::{self, B};")]);
        assert_eq!(circle, "a: a circle of imports: b -> c, c -> b");
        assert_eq!(found(&[("b", "use crate::c::C;"), ("c", "// use crate::b::B;")]), "");
        let longer =
            [("b", "use crate::c::C;"), ("c", "fn f(d: crate::d::D) {}"), ("d", "use crate::b;")];
        assert_eq!(found(&longer), "a: a circle of imports: b -> c, c -> d, d -> b");
    }

    #[test]
    fn files_of_one_folder_may_import_each_other() {
        assert_eq!(found(&[("b/c", "use super::d;"), ("b/d", "use crate::b::c::C;")]), "");
        assert_eq!(found(&[("b/mod", "mod c;\nuse c::C;"), ("b/c", "use super::B;")]), "");
    }

    #[test]
    fn nouns_that_know_each_other_are_a_circle_though_their_files_are_none() {
        let files = [
            ("m/b/mod", "use crate::m::c::e::E;"),
            ("m/b/d", "struct D;"),
            ("m/c/mod", "use crate::m::b::d::D;"),
            ("m/c/e", "struct E;"),
        ];
        assert_eq!(found(&files), "");
        let circle = "nouns know each other in a circle: m::b -> m::c::e, m::c -> m::b::d";
        assert_eq!(found_in("datapact-api", &files), format!("datapact-api: {circle}"));
        assert_eq!(found_in("datapact-api", &files[1..]), "");
    }

    #[test]
    fn a_circle_through_a_child_module_is_found() {
        let files = [
            ("b/mod", "fn f() { c::g() }"),
            ("b/c", "use crate::d::D;"),
            ("d", "use crate::b::B;"),
        ];
        assert_eq!(found(&files), "a: a circle of imports: b::c -> d, d -> b");
    }

    #[test]
    fn a_name_that_is_re_exported_is_that_of_the_file_that_has_it() {
        let files = [
            ("b/mod", "mod c;\nmod d;\npub use c::C;\npub use d::D;"),
            ("b/c", "struct C;"),
            ("b/d", "use crate::e::E;"),
        ];
        assert_eq!(found(&[&files[..], &[("e", "use crate::b::C;")]].concat()), "");
        assert!(found(&[&files[..], &[("e", "use crate::b::D;")]].concat()).contains("b::d -> e"));
    }

    #[test]
    fn imports_of_tests_do_not_count() {
        let test = "#[cfg(test)]\nmod tests {\n    use crate::c::C;\n}";
        assert_eq!(found(&[("b", test), ("c", "use crate::b::B;")]), "");
    }
}
