//! Error chains without repeated texts.
//!
//! An error shows only its own text and leaves the reason to its source, so that a printed chain
//! has each text once. The clients of databases and Redis, and third-party storages, also show the
//! text of their source. Such a link is skipped, and the chain continues behind it.

use std::error::Error;

/// The first error in the chain of `source` whose text neither repeats `shown`, the preceding text,
/// nor includes the text of its own source.
pub fn next<'a>(
    shown: &str,
    source: &'a (dyn Error + Send + Sync + 'static),
) -> Option<&'a (dyn Error + 'static)> {
    let mut next: Option<&(dyn Error + 'static)> = Some(source);
    while let Some(error) = next {
        let text = error.to_string();
        let is_new = !repeats(shown, &text);
        if is_new && error.source().is_none_or(|source| !repeats(&text, &source.to_string())) {
            return next;
        }
        next = error.source();
    }
    None
}

/// Whether `text` equals `other`, or is `other` behind a prefix.
fn repeats(text: &str, other: &str) -> bool {
    text.strip_suffix(other).is_some_and(|rest| rest.is_empty() || rest.ends_with(": "))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Client {
        #[error("error returned from database: {0}")]
        Repeats(#[source] io::Error),
        #[error(transparent)]
        Transparent(io::Error),
        #[error("the statement failed")]
        Alone(#[source] io::Error),
    }

    fn chain(shown: &str, error: &Client) -> Vec<String> {
        std::iter::successors(next(shown, error), |&error| error.source())
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_link_that_shows_the_text_of_its_source_is_left_out() {
        let refused = || io::Error::other("refused");
        assert_eq!(chain("no connection", &Client::Repeats(refused())), ["refused"]);
        assert_eq!(chain("no connection", &Client::Transparent(refused())), ["refused"]);
        assert_eq!(chain("x", &Client::Alone(refused())), ["the statement failed", "refused"]);
    }

    #[test]
    fn what_was_shown_is_not_shown_again() {
        let refused = || io::Error::other("refused");
        assert_eq!(chain("no connection: refused", &Client::Repeats(refused())), [""; 0]);
        assert_eq!(chain("the statement failed", &Client::Alone(refused())), ["refused"]);
        // The same word at the end is not a repetition.
        assert_eq!(chain("it was refused", &Client::Transparent(refused())), ["refused"]);
    }
}
