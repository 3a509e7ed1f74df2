//! Text patterns with `*`.

/// A text pattern: `*` stands for any run of characters.
///
/// In a path pattern one `*` stays inside its segment and `**` crosses segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    pattern: Vec<char>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Path,
    Email,
}

impl Glob {
    /// A pattern for request paths.
    pub(crate) fn path(pattern: &str) -> Self {
        let trimmed = if pattern.len() > 1 { pattern.trim_end_matches('/') } else { pattern };
        Self { pattern: trimmed.chars().collect(), kind: Kind::Path }
    }

    /// A pattern for e-mail addresses, compared without regard to case.
    pub(crate) fn email(pattern: &str) -> Self {
        Self { pattern: pattern.to_lowercase().chars().collect(), kind: Kind::Email }
    }

    /// Whether the whole text fits the pattern.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = match self.kind {
            Kind::Path => text.chars().collect(),
            Kind::Email => text.to_lowercase().chars().collect(),
        };
        // reachable[i]: the pattern read so far can end before text[i].
        let mut reachable = vec![false; text.len() + 1];
        reachable[0] = true;
        let mut at = 0;
        while at < self.pattern.len() {
            let symbol = self.pattern[at];
            let double = symbol == '*' && self.pattern.get(at + 1) == Some(&'*');
            if symbol == '*' {
                let stops = self.kind == Kind::Path && !double;
                for end in 1..=text.len() {
                    let crosses = stops && text[end - 1] == '/';
                    reachable[end] = reachable[end] || (reachable[end - 1] && !crosses);
                }
            } else {
                for end in (1..=text.len()).rev() {
                    reachable[end] = reachable[end - 1] && text[end - 1] == symbol;
                }
                reachable[0] = false;
            }
            at += if double { 2 } else { 1 };
        }
        reachable[text.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn a_path_star_stays_in_its_segment() {
        for (pattern, path, fits) in [
            ("/contacts", "/contacts", true),
            ("/contacts/", "/contacts", true),
            ("/contacts", "/contacts/x", false),
            ("/contact/*", "/contact/ann@example.com", true),
            ("/contact/*", "/contact/ann/unsubscribe", false),
            ("/list/*/contact/*", "/list/a/contact/b", true),
            ("/list/**", "/list/a/contact/b", true),
            ("/**", "/anything/at/all", true),
            ("/contact/person_*", "/contact/person_1", true),
            ("/contact/person_*", "/contact/ann", false),
        ] {
            assert_eq!(Glob::path(pattern).matches(path), fits, "{pattern} {path}");
        }
    }

    #[test]
    fn an_email_pattern_ignores_case() {
        for (pattern, email, fits) in [
            ("poison@example.com", "Poison@Example.com", true),
            ("*@BAD.example", "who.ever@bad.example", true),
            ("*@bad.example", "who@good.example", false),
            ("*", "", true),
            ("a*b*c@x", "aXXbYYc@x", true),
        ] {
            assert_eq!(Glob::email(pattern).matches(email), fits, "{pattern} {email}");
        }
    }
}
