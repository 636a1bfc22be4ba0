//! The command `lpuc`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    let progress = io::stderr().is_terminal();
    let code = lpuc::run(std::env::args_os(), &mut lpuc::Console { out: &mut out, err: &mut err, progress });
    // A reader that went away (`lpuc … | head`) is no failure of ours.
    let _ = out.flush();
    ExitCode::from(code)
}
