//! `cargo xtask picture`: the terminal in the README, drawn from a real run of the demo.

use std::fs;
use std::process::Command;

use crate::demo::{PROFILES, release};
use crate::proc::{Done, output, root, target_dir};

const LINE_HEIGHT: usize = 17;
const CHARACTER_WIDTH: usize = 8;
const MARGIN: usize = 18;

/// Runs the demo and draws what it prints.
pub(crate) fn draw() -> Done {
    release()?;
    let mut demo = Command::new(target_dir().join("release/segport"));
    demo.args(["demo", "--profiles", PROFILES]);
    let text = format!("$ cargo xtask demo\n{}", output(demo)?);
    let path = root().join("docs/terminal.svg");
    fs::write(&path, svg(&text)).map_err(|error| format!("{} could not be written: {error}", path.display()))
}

fn svg(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let widest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let (width, height) = (widest * CHARACTER_WIDTH + 2 * MARGIN, lines.len() * LINE_HEIGHT + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"13\" xml:space=\"preserve\">\n"
    );
    for (number, line) in lines.iter().enumerate() {
        let y = MARGIN + (number + 1) * LINE_HEIGHT - 4;
        let is_heading = line.chars().next().is_some_and(|first| !first.is_whitespace());
        let fill = if is_heading { "#e8c268" } else { "#d5d8de" };
        svg.push_str(&format!("<text x=\"{MARGIN}\" y=\"{y}\" fill=\"{fill}\">{}</text>\n", escaped(line)));
    }
    svg + "</g>\n</svg>\n"
}

fn escaped(line: &str) -> String {
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_the_output_is_text_in_the_picture() {
        let drawn = svg("$ a\n  1 < 2 & 3\n");
        assert!(drawn.contains("  1 &lt; 2 &amp; 3</text>"));
    }
}
