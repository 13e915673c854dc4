//! Where a repository is, said to people without what is secret in it.

use std::path::{Component, Path};

use berqenas_core::spec::url::percent_decoded;

use super::GitError;

/// URL, branch and path, looked over.
#[derive(Clone)]
pub(super) struct Location {
    url: String,
    shown: String,
    branch: Option<String>,
    remote_ref: String,
    path: String,
}

impl std::fmt::Debug for Location {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Location").field("url", &self.shown).field("ref", &self.remote_ref).field("path", &self.path).finish()
    }
}

impl Location {
    pub(super) fn new(url: &str, branch: Option<&str>, path: &Path) -> Result<Location, GitError> {
        let refused = |what: String| Err(GitError::Refused { what });
        let shown = without_user(url);
        if url.is_empty() || url.starts_with('-') || url.contains(char::is_control) {
            return refused(format!("{shown:?} is no URL of a Git repository"));
        }
        if let Some(branch) = branch
            && !is_branch(branch)
        {
            return refused(format!("{branch:?} is no name of a Git branch"));
        }
        let Some(inside) = inside(path) else {
            return refused(format!("{} is no path inside a repository: it must be relative and stay there", path.display()));
        };
        let remote_ref = branch.map_or_else(|| "HEAD".to_owned(), |name| format!("refs/heads/{name}"));
        let url = absolute(url).map_err(|source| GitError::Folder { path: url.into(), source })?;
        Ok(Location { url, shown, branch: branch.map(str::to_owned), remote_ref, path: inside })
    }

    /// As git is given it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// As people may see it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// What is followed there.
    pub(super) fn remote_ref(&self) -> &str {
        &self.remote_ref
    }

    /// Of the specs, with `/`; empty: the whole repository.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn secrets(&self) -> Secrets {
        Secrets::of(&self.url, &self.shown)
    }

    pub(super) fn no_branch(&self) -> GitError {
        GitError::NoBranch { url: self.shown.clone(), branch: self.branch.clone() }
    }

    pub(super) fn no_folder(&self, commit: &str, missing: bool) -> GitError {
        GitError::NoFolder { url: self.shown.clone(), path: self.path.clone(), commit: commit.to_owned(), missing }
    }
}

/// What git may be told as a branch and takes as one name: no option, no pattern, no refspec. Whether it is there is the remote's to say.
fn is_branch(name: &str) -> bool {
    let odd = |character: char| character.is_whitespace() || character.is_control() || "~^:?*[\\".contains(character);
    !name.is_empty() && !name.starts_with(['-', '/']) && !name.ends_with(['/', '.']) && !name.contains(odd) && !name.contains("..")
}

/// A path that stays inside, in its plainest form.
fn inside(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str().filter(|part| !part.contains(char::is_control))?),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// A path of this machine is relative to where we were started, not to where git is.
fn absolute(url: &str) -> std::io::Result<String> {
    let remote = url.contains("://") || url.find(':').is_some_and(|colon| !url[..colon].contains('/'));
    if remote {
        return Ok(url.to_owned());
    }
    let path = std::path::absolute(url)?;
    Ok(path.to_str().map_or_else(|| url.to_owned(), str::to_owned))
}

/// A URL without user, password and query.
pub(super) fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // `user@host:path`, or a path of this machine.
        return match (url.find('@'), url.find('/')) {
            (Some(at), slash) if slash.is_none_or(|slash| at < slash) && url[at..].contains(':') => url[at + 1..].to_owned(),
            _ => url.to_owned(),
        };
    };
    let rest = &rest[user_end(rest)..];
    format!("{scheme}://{}", &rest[..rest.find(['?', '#']).unwrap_or(rest.len())])
}

/// Where the host of a URL begins, after its scheme.
fn user_end(rest: &str) -> usize {
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if let Some(at) = authority.rfind('@') {
        return at + 1;
    }
    // A password with a slash in it: the port is no number, and the host comes later.
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let odd = port.is_some_and(|port| !port.is_empty() && !port.chars().all(|digit| digit.is_ascii_digit()) && !authority.ends_with(']'));
    if odd { rest.rfind('@').map_or(0, |at| at + 1) } else { 0 }
}

/// What must not be seen of what git says.
#[derive(Clone)]
pub(super) struct Secrets {
    shown: String,
    /// Each with what stands in its place, the longest first.
    known: Vec<(String, String)>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    fn of(url: &str, shown: &str) -> Secrets {
        let mut known = vec![(url.to_owned(), shown.to_owned())];
        if let Some((_, rest)) = url.split_once("://") {
            let end = user_end(rest);
            let user = rest[..end].trim_end_matches('@');
            // A user alone may be a token.
            let secret = user.split_once(':').map_or(user, |(_, password)| password);
            let plain = percent_decoded(secret);
            let query = rest[end..].split_once('?').map_or("", |(_, query)| query);
            known.extend(
                [secret.to_owned(), plain, query.to_owned()]
                    .into_iter()
                    .filter(|text| text.len() >= 4)
                    .map(|text| (text, "***".to_owned())),
            );
        }
        known.retain(|(secret, masked)| secret != masked);
        known.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        Secrets { shown: shown.to_owned(), known }
    }

    /// The URL without them.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// A text without them, and without users and passwords of any other URL in it.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (secret, masked) in &self.known {
            text = text.replace(secret, masked);
        }
        let mut masked = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find("://") {
            let (before, after) = rest.split_at(at + 3);
            masked.push_str(before);
            let end = after.find(|character: char| character.is_whitespace() || "'\"<>".contains(character)).unwrap_or(after.len());
            let url = &after[..end];
            masked.push_str(&url[user_end(url)..]);
            rest = &after[end..];
        }
        masked + rest
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn urls_are_shown_without_what_is_secret() {
        let check = |url: &str, expected: &str| assert_eq!(without_user(url), expected, "{url}");
        check("https://example.org/specs.git", "https://example.org/specs.git");
        check("https://ayse:secret@example.org:8443/specs.git", "https://example.org:8443/specs.git");
        check("https://token@example.org/specs.git", "https://example.org/specs.git");
        check("https://ayse:se@cret@example.org/a@b.git", "https://example.org/a@b.git");
        check("https://ayse:se/cret@example.org/specs.git", "https://example.org/specs.git");
        check("https://example.org/a@b.git", "https://example.org/a@b.git");
        check("https://[::1]:8080/specs.git", "https://[::1]:8080/specs.git");
        check("https://[::1]/a@b.git", "https://[::1]/a@b.git");
        check("https://example.org/specs.git?token=secret", "https://example.org/specs.git");
        check("ssh://git@example.org/specs.git", "ssh://example.org/specs.git");
        check("git@example.org:team/specs.git", "example.org:team/specs.git");
        check("/srv/git@home/specs.git", "/srv/git@home/specs.git");
        check("../specs.git", "../specs.git");
    }

    #[test]
    fn what_git_says_is_masked() {
        let check = |url: &str, said: &str, expected: &str| {
            let location = Location::new(url, None, Path::new("")).unwrap();
            assert_eq!(location.secrets().mask(said), expected, "{url}");
        };
        let url = "https://ayse:p%40ssword@example.org/specs.git";
        check(
            url,
            "fatal: unable to access 'https://ayse:p%40ssword@example.org/specs.git/'",
            "fatal: unable to access 'https://example.org/specs.git/'",
        );
        check(url, "user ayse, password p@ssword", "user ayse, password ***");
        check(url, "moved to https://other:word@elsewhere.org/x.", "moved to https://elsewhere.org/x.");
        check("https://0123456789abcdef@example.org/s", "bad token 0123456789abcdef", "bad token ***");
        check("https://example.org/s?key=abcdef", "get https://example.org/s?key=abcdef: 403", "get https://example.org/s: 403");
        check("git@example.org:s", "git@example.org: Permission denied (publickey).", "git@example.org: Permission denied (publickey).");
    }

    #[test]
    fn nothing_is_taken_for_an_option_or_leads_out() {
        let check = |url: &str, branch: Option<&str>, path: &str, expected: &str| {
            let shown = match Location::new(url, branch, Path::new(path)) {
                Ok(location) => format!("{} {:?}", location.remote_ref(), location.path()),
                Err(error) => error.to_string(),
            };
            assert_eq!(shown, expected);
        };
        let url = "https://example.org/specs.git";
        check(url, None, "", "HEAD \"\"");
        check(url, Some("main"), "./specs//a/", "refs/heads/main \"specs/a\"");
        check(url, Some("team/yeni-şube"), "specs", "refs/heads/team/yeni-şube \"specs\"");
        check("", None, "", "\"\" is no URL of a Git repository");
        check("--upload-pack=touch x", None, "", "\"--upload-pack=touch x\" is no URL of a Git repository");
        for branch in ["", "-main", "a b", "a:b", "+a*", "a..b", "a/", "/a", "a\nb"] {
            check(url, Some(branch), "", &format!("{branch:?} is no name of a Git branch"));
        }
        for path in ["/specs", "../specs", "a/../../b", "a/.."] {
            check(url, None, path, &format!("{path} is no path inside a repository: it must be relative and stay there"));
        }
    }
}
