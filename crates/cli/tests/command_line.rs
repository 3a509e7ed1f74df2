//! What the binary prints and how it ends, where neither a project nor a plugin is needed.

#[test]
fn help_explanations_and_mistakes() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
