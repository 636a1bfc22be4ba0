//! Generates the assembly parser from its grammar.

fn main() {
    let mut configuration = lalrpop::Configuration::new();
    if let Err(error) = configuration.emit_rerun_directives(true).use_cargo_dir_conventions().process() {
        panic!("src/asm/grammar.lalrpop: {error}");
    }
}
