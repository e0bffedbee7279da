//! Configurations to begin with, which `agentnet mesh init` writes.

/// Files of a template: path relative to the new directory, and text.
pub type TemplateFiles = &'static [(&'static str, &'static str)];

const DUO: TemplateFiles = &[
    ("mesh.yaml", include_str!("template/duo/mesh.yaml")),
    ("prompts/asker.txt", include_str!("template/duo/asker.txt")),
    ("prompts/answerer.txt", include_str!("template/duo/answerer.txt")),
    (".env.example", include_str!("template/duo/env.example")),
];
const TRIO: TemplateFiles = &[
    ("mesh.yaml", include_str!("template/trio/mesh.yaml")),
    ("prompts/planner.txt", include_str!("template/trio/planner.txt")),
    ("prompts/researcher.txt", include_str!("template/trio/researcher.txt")),
    ("prompts/critic.txt", include_str!("template/trio/critic.txt")),
    (".env.example", include_str!("template/trio/env.example")),
];
const SUPPORT: TemplateFiles = &[
    ("mesh.yaml", include_str!("template/support/mesh.yaml")),
    (
        "prompts/front_desk.txt",
        include_str!("template/support/front_desk.txt"),
    ),
    (
        "prompts/technician.txt",
        include_str!("template/support/technician.txt"),
    ),
    (".env.example", include_str!("template/support/env.example")),
];

/// The names that [`template`] knows.
pub const TEMPLATES: [&str; 3] = ["duo", "trio", "support"];

/// The files of a template: `duo` (two agents that talk), `trio` (a planner that asks two others) or `support` (a front
/// desk with tools, budgets and a fallback model).
#[must_use]
pub fn template(name: &str) -> Option<TemplateFiles> {
    match name {
        "duo" => Some(DUO),
        "trio" => Some(TRIO),
        "support" => Some(SUPPORT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("duo", 2)]
    #[case("trio", 3)]
    #[case("support", 2)]
    fn templates_are_valid_without_any_variable(#[case] name: &str, #[case] agents: usize) {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in template(name).unwrap() {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let path = directory.path().join("mesh.yaml");
        let mesh = crate::config::load(&path, &|_: &str| None, &[]);
        let mesh = mesh.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(mesh.agents.len(), agents);
        assert!(mesh.agents.iter().all(|agent| agent.prompt_path.is_some()));
    }

    #[rstest]
    fn examples_of_environments_name_the_variables(#[values("duo", "trio", "support")] name: &str) {
        let files = template(name).unwrap();
        let text = |wanted: &str| {
            files
                .iter()
                .find(|(path, _)| Path::new(path) == Path::new(wanted))
                .unwrap()
                .1
        };
        let example = text(".env.example");
        for reference in text("mesh.yaml").split("${").skip(1) {
            let variable = reference.split([':', '}']).next().unwrap();
            assert!(example.contains(&format!("{variable}=")), "{name}: {variable}");
        }
    }

    #[test]
    fn other_names_have_no_template() {
        assert_eq!(template("quartet"), None);
        assert!(TEMPLATES.iter().all(|name| template(name).is_some()));
    }
}
