//! What somebody probably meant.

/// Most names that are listed where none is similar.
const MAX_LISTED: usize = 12;

/// "did you mean ..." or, if nothing is similar, what there is; `None` if there is nothing.
pub(crate) fn among<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let candidates: Vec<_> = candidates.into_iter().collect();
    if let Some(question) = similar(name, &candidates) {
        return Some(question);
    }
    match candidates.as_slice() {
        [] => None,
        [only] => Some(format!("there is only `{only}`")),
        all if all.len() <= MAX_LISTED => Some(format!("there are {}", list(all))),
        _ => None,
    }
}

/// "did you mean ..." if one of the candidates is similar.
pub(crate) fn similar(name: &str, candidates: &[&str]) -> Option<String> {
    let folded = name.to_lowercase();
    let distance = |candidate: &&str| strsim::damerau_levenshtein(&folded, &candidate.to_lowercase());
    let best = candidates.iter().copied().min_by_key(distance)?;
    let allowed = (name.chars().count().max(3)) / 3;
    (distance(&best) <= allowed).then(|| format!("did you mean `{best}`?"))
}

/// "did you mean ..." if one of the candidates has the same letters and digits, whatever their case and what stands between them.
pub(crate) fn spelt(name: &str, candidates: &[&str]) -> Option<String> {
    let letters = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let same = candidates.iter().find(|candidate| letters(candidate) == letters(name))?;
    Some(format!("did you mean `{same}`?"))
}

/// Names in back quotes, with commas and `and`.
pub(crate) fn list<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_suggested() {
        let cases: &[(&str, &[&str], Option<&str>)] = &[
            ("email_adress", &["email_address", "name"], Some("did you mean `email_address`?")),
            ("EMAIL", &["email", "name"], Some("did you mean `email`?")),
            ("eamil", &["email", "name"], Some("did you mean `email`?")),
            ("x", &["email", "name", "age"], Some("there are `email`, `name` and `age`")),
            ("x", &["email"], Some("there is only `email`")),
            ("x", &[], None),
        ];
        for (name, candidates, expected) in cases {
            assert_eq!(among(name, candidates.iter().copied()).as_deref(), *expected, "{name}");
        }
    }
}
