//! Patterns of file names: `*`, `?`, `[a-z]`, and `**` for any number of folders.

/// Whether `path` asks for a pattern rather than one name.
pub(crate) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Whether a name is none of data, unless somebody asks for it: hidden files, and what writers such as Spark put beside theirs.
pub(crate) fn is_left_out(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// Whether `name`, one component of a path, fits `pattern`.
///
/// A name that [is left out](is_left_out) fits only a pattern that begins as it does.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    if is_left_out(name) && pattern.chars().next() != name.chars().next() {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // The last star and the name's position when it was met: the only place ever worth going back to.
    let mut retry: Option<(usize, usize)> = None;
    let (mut p, mut n) = (0, 0);
    while let Some(&letter) = name.get(n) {
        let step = match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => set(&pattern, p, letter),
            Some(&same) if same == letter => Some(p + 1),
            _ => None,
        };
        match (step, retry) {
            (Some(next), _) => (p, n) = (next, n + 1),
            (None, Some((star, from))) => {
                retry = Some((star, from + 1));
                (p, n) = (star + 1, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&letter| letter == '*'))
}

/// Where the pattern goes on after the set that begins at `start`, if `letter` is in it. An unclosed `[` stands for itself.
fn set(pattern: &[char], start: usize, letter: char) -> Option<usize> {
    let inner = pattern.get(start + 1..)?;
    let (inverted, skipped) = if let Some('!' | '^') = inner.first() { (true, 1) } else { (false, 0) };
    let inner = inner.get(skipped..)?;
    // A `]` that comes first is part of the set.
    let Some(length) = inner.iter().skip(1).position(|&end| end == ']').map(|end| end + 1) else {
        return (letter == '[').then_some(start + 1);
    };
    let members = inner.get(..length)?;
    let mut found = false;
    let mut at = 0;
    while let Some(&low) = members.get(at) {
        match (members.get(at + 1), members.get(at + 2)) {
            (Some('-'), Some(&high)) => {
                found |= (low..=high).contains(&letter);
                at += 3;
            }
            _ => {
                found |= low == letter;
                at += 1;
            }
        }
    }
    (found != inverted).then_some(start + 1 + skipped + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.bak", false),
            ("*.csv", ".hidden.csv", false),
            (".*", ".hidden", true),
            ("part-?.csv", "part-1.csv", true),
            ("part-?.csv", "part-12.csv", false),
            ("part-[0-9].csv", "part-7.csv", true),
            ("part-[!0-9].csv", "part-7.csv", false),
            ("part-[]x].csv", "part-].csv", true),
            ("a[b", "a[b", true),
            ("*a*b*c*", "xxaxxbxxc", true),
            ("*a*b*c*", "xxaxxcxxb", false),
            ("æ?", "æø", true),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        assert!(!fits(&"*a".repeat(30), &"a".repeat(25)));
    }
}
