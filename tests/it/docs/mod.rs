//! The pages for users: every statement, command and line of a configuration in them is run, in the scene that it is for.
//!
//! A block that no scene is named for fails the test that every block has one; so does a statement in the text.

mod cargo;
mod deploying;
mod files;
mod pages;
mod postgres;
mod purge;
pub(crate) mod rights;
mod statements;
mod timeouts;

/// Makes a test of each scene, which is given its block, and the list of all places.
macro_rules! scenes {
    ($($name:ident: $page:literal, $heading:literal, $language:literal, $number:literal => $scene:path;)*) => {
        const PLACES: &[(&str, &str, &str, usize)] = &[$(($page, $heading, $language, $number)),*];

        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $scene(&pages::block($page, $heading, $language, $number)).await;
        })*
    };
}

scenes! {
    readme_try_it: "README.md", "Try it", "console", 0 => cargo::commands_exist;
    contributing: "CONTRIBUTING.md", "Contributing", "console", 0 => cargo::commands_exist;
    recipes: "docs/recipes.md", "Recipes", "console", 0 => cargo::commands_exist;
    readme_install: "README.md", "idempotency", "console", 0 => cargo::commands_exist;
    correctness_model: "docs/correctness.md", "Model", "console", 0 => cargo::commands_exist;
    correctness_differential: "docs/correctness.md", "Differential", "console", 0 => cargo::commands_exist;
    correctness_histories: "docs/correctness.md", "Histories", "console", 0 => cargo::commands_exist;
    correctness_schedules: "docs/correctness.md", "Schedules", "console", 0 => cargo::commands_exist;
    correctness_simulation: "docs/correctness.md", "Simulation", "console", 0 => cargo::commands_exist;
    correctness_chaos: "docs/correctness.md", "Chaos", "console", 0 => cargo::commands_exist;
    correctness_fuzzing: "docs/correctness.md", "Fuzzing", "console", 0 => cargo::commands_exist;
    correctness_mutants: "docs/correctness.md", "Mutants", "console", 0 => cargo::commands_exist;
    correctness_soak: "docs/correctness.md", "Soak", "console", 0 => cargo::commands_exist;
    purge_in_postgres: "docs/operating.md", "Purging expired records", "sql", 0 => purge::in_postgres;
    purge_in_mysql: "docs/operating.md", "Purging expired records", "sql", 1 => purge::in_mysql;
    purge_in_sqlite: "docs/operating.md", "Purging expired records", "sql", 2 => purge::in_sqlite;
    user_of_redis: "docs/operating.md", "Rights", "conf", 0 => rights::redis_app;
    relay_of_redis_streams: "docs/operating.md", "Rights", "conf", 1 => rights::redis_relay;
    users_of_postgres: "docs/operating.md", "Rights", "sql", 0 => rights::postgres_users;
    grants_of_postgres: "docs/operating.md", "Rights", "sql", 1 => rights::postgres_grants;
    users_of_mysql: "docs/operating.md", "Rights", "sql", 2 => rights::mysql_users;
    grants_of_mysql: "docs/operating.md", "Rights", "sql", 3 => rights::mysql_grants;
    timeouts_of_postgres: "docs/deploying.md", "Timeouts of the databases", "sql", 0 => timeouts::of_postgres;
    timeouts_of_mysql: "docs/deploying.md", "Timeouts of the databases", "sql", 1 => timeouts::of_mysql;
    vacuum_by_rows: "docs/operating.md", "Postgres", "sql", 0 => postgres::vacuum_by_rows;
    transactions_through_pgbouncer: "docs/operating.md", "PgBouncer", "ini", 0 => postgres::through_pgbouncer;
}

#[test]
fn every_block_has_a_scene() {
    let mut counts = std::collections::HashMap::new();
    let missing = pages::blocks().into_iter().filter_map(|block| {
        let place = (block.page, block.heading, block.language);
        let number = counts.entry(place.clone()).or_insert(0);
        let (page, heading, language) = &place;
        let here = (&**page, &**heading, &**language, *number);
        *number += 1;
        (!PLACES.contains(&here)).then(|| format!("{here:?}"))
    });
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "name a scene for these blocks:\n{}", missing.join("\n"));
}
