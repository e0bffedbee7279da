//! The reference of the configuration in docs/MESH.md.

use agentnet_mesh::config;

const BEGIN: &str = "by `make mesh-reference` -->\n";
const END: &str = "<!-- end of the reference -->";

/// `make mesh-reference` renews the page.
#[test]
fn the_page_of_the_documentation_has_every_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/MESH.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (reference, after) = rest.split_once(END).unwrap();
    let wanted = format!("\n{}\n\n", config::reference_markdown().trim());
    if std::env::var_os("AGENTNET_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    } else {
        assert_eq!(reference, wanted, "run `make mesh-reference`");
    }
}
