//! Requests to Autopilot, and its answers.

use segport_sdk::http::{Request, Response};
use segport_sdk::{Bytes, Context, Error, ErrorKind, Members, Result, Secret};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::contact::Contacts;
use crate::error::{Said, refused, unusable};
use crate::path::segment;

/// The header that carries the key.
const KEY_HEADER: &str = "autopilotapikey";

/// One account at Autopilot. Rate, retries and deadlines are the host's.
#[derive(Debug)]
pub(crate) struct Client {
    base: String,
    api_key: Secret,
    /// Bounds the calls under way over all batches, each of which may make a hundred.
    slots: Semaphore,
    width: usize,
}

/// A list as `GET /lists` gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct List {
    #[serde(rename = "list_id")]
    pub(crate) id: String,
    /// Empty where it has none.
    #[serde(default, deserialize_with = "text_or_null")]
    pub(crate) title: String,
}

fn text_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A list that was just made.
#[derive(Debug, Deserialize)]
pub(crate) struct NewList {
    #[serde(rename = "list_id")]
    pub(crate) id: String,
    /// Its name; the vendor's draft leaves it out of the answer.
    #[serde(default)]
    pub(crate) name: Option<String>,
}

/// A page of who is on a list.
#[derive(Default, Deserialize)]
pub(crate) struct Page {
    pub(crate) contacts: Vec<Listed>,
    /// Where the next page begins; absent on the last one.
    #[serde(default)]
    pub(crate) bookmark: Option<String>,
}

/// A contact on a list. It may be without an address; whoever is shown without an id counts for nobody.
#[derive(Deserialize)]
pub(crate) struct Listed {
    #[serde(default)]
    pub(crate) contact_id: Option<String>,
    #[serde(default, rename = "Email")]
    pub(crate) email: Option<String>,
}

/// What to do about one contact's place on one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Test,
    Add,
    Remove,
}

impl Verb {
    fn method(self) -> &'static str {
        match self {
            Self::Test => "GET",
            Self::Add => "POST",
            Self::Remove => "DELETE",
        }
    }

    fn operation(self) -> &'static str {
        match self {
            Self::Test => "GET /list/{list}/contact/{contact}",
            Self::Add => "POST /list/{list}/contact/{contact}",
            Self::Remove => "DELETE /list/{list}/contact/{contact}",
        }
    }
}

/// What Autopilot says to a [`Verb`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnList {
    /// A member; or added, or removed.
    Yes,
    /// There was nothing to add or to remove (`not_modified`).
    Already,
    /// Both are known, but the contact is not on the list: a 404 without a message.
    No,
    /// There is no such contact.
    NoContact,
    /// There is no such list.
    NoList,
}

impl Client {
    pub(crate) fn new(base: String, api_key: Secret, width: u32) -> Self {
        let width = width.max(1) as usize;
        Self { base, api_key, slots: Semaphore::new(width), width }
    }

    /// Most calls under way at once.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The account's `instanceId`.
    pub(crate) async fn account(&self, cx: &Context) -> Result<String> {
        let operation = "GET /account";
        let answer = self.read(cx, "/account", operation).await?;
        // No more than this one key is known of the answer.
        match serde_json::from_slice::<Value>(&answer).ok().as_ref().and_then(|account| account.get("instanceId")) {
            Some(Value::String(id)) if !id.is_empty() => Ok(id.clone()),
            Some(Value::Number(id)) => Ok(id.to_string()),
            _ => Err(unusable(operation, "an answer that names no account")),
        }
    }

    /// All lists; this call has no pages.
    pub(crate) async fn lists(&self, cx: &Context) -> Result<Vec<List>> {
        #[derive(Deserialize)]
        struct Lists {
            lists: Vec<List>,
        }
        let operation = "GET /lists";
        let answer = self.read(cx, "/lists", operation).await?;
        // A list that was overlooked here would be made a second time, so nothing of the answer is guessed.
        match serde_json::from_slice::<Lists>(&answer) {
            Ok(Lists { lists }) => Ok(lists),
            Err(_) => Err(unusable(operation, "an answer that is not a list of lists")),
        }
    }

    /// Makes a list. Titles are not unique, so the host must not repeat this when it cannot know what became of it.
    pub(crate) async fn create_list(&self, cx: &Context, name: &str) -> Result<NewList> {
        let operation = "POST /list";
        let body = json!({ "name": name }).to_string();
        let answer = self.send(cx, self.request("POST", "/list", operation).json(body).once()).await?;
        let answer = self.success("POST", operation, answer)?;
        match serde_json::from_slice::<NewList>(&answer) {
            Ok(list) if !list.id.is_empty() => Ok(list),
            _ => Err(unusable(operation, "an answer that names no list")),
        }
    }

    /// How many are on a list, from its first page, which tells the size of the whole list.
    pub(crate) async fn members(&self, cx: &Context, list: &str) -> Result<Members> {
        #[derive(Deserialize)]
        struct Page {
            // The contacts themselves are nobody's business here.
            contacts: Vec<IgnoredAny>,
            #[serde(default)]
            total_contacts: Option<u64>,
            #[serde(default)]
            bookmark: Option<IgnoredAny>,
        }
        let operation = "GET /list/{list}/contacts";
        let path = format!("/list/{}/contacts", segment(list));
        let answer = self.read(cx, &path, operation).await?;
        let Ok(page) = serde_json::from_slice::<Page>(&answer) else {
            return Err(unusable(operation, "an answer that is not a page of contacts"));
        };
        let shown = page.contacts.len() as u64;
        Ok(match page.total_contacts.filter(|&total| total >= shown) {
            Some(total) => Members::Exactly(total),
            None if page.bookmark.is_none() => Members::Exactly(shown),
            None => Members::AtLeast(shown),
        })
    }

    /// Whether there is a list with this id. To ask for the members of one that is not there is an error without a message; which one
    /// is not known.
    pub(crate) async fn has_list(&self, cx: &Context, list: &str) -> Result<bool> {
        let (method, operation) = ("GET", "GET /list/{list}/contacts");
        let path = format!("/list/{}/contacts", segment(list));
        let answer = self.send(cx, self.request(method, &path, operation)).await?;
        match (answer.head.status, Said::read(&answer.body)) {
            (200..=299, _) => match serde_json::from_slice::<Page>(&answer.body) {
                Ok(_) => Ok(true),
                Err(_) => Err(unusable(operation, "an answer that is not a page of contacts")),
            },
            (404 | 410, Some(_)) => Ok(false),
            (400, Some(said)) if said.message.is_none() || said.is_no_list() => Ok(false),
            _ => Err(self.refused(method, operation, &answer)),
        }
    }

    /// The page of a list that begins at `bookmark`, or the first one.
    pub(crate) async fn page(&self, cx: &Context, list: &str, bookmark: Option<&str>) -> Result<Page> {
        let operation = "GET /list/{list}/contacts";
        let mut path = format!("/list/{}/contacts", segment(list));
        if let Some(bookmark) = bookmark {
            path = format!("{path}/{}", segment(bookmark));
        }
        let answer = self.read(cx, &path, operation).await?;
        serde_json::from_slice(&answer).map_err(|_| unusable(operation, "an answer that is not a page of contacts"))
    }

    /// Adds or updates contacts, at most 100, as [`Contacts::body`] writes them. The answer is for [`crate::answer`] to read.
    pub(crate) async fn upsert(
        &self,
        cx: &Context,
        contacts: &Contacts<'_>,
        list: Option<&str>,
        notify: Option<bool>,
    ) -> Result<Bytes> {
        let (method, operation) = ("POST", "POST /contacts");
        let body = contacts.body(list, notify);
        let answer = self.send(cx, self.request(method, "/contacts", operation).json(body)).await?;
        if let 200..=299 = answer.head.status {
            return Ok(answer.body);
        }
        Err(self.refused(method, operation, &answer))
    }

    /// The contact with this address, as Autopilot shows it; `None` if there is none.
    pub(crate) async fn contact(&self, cx: &Context, email: &str) -> Result<Option<Map<String, Value>>> {
        let (method, operation) = ("GET", "GET /contact/{contact}");
        let path = format!("/contact/{}", segment(email));
        let answer = self.send(cx, self.request(method, &path, operation)).await?;
        match answer.head.status {
            200..=299 => match serde_json::from_slice(&answer.body) {
                Ok(Value::Object(contact)) => Ok(Some(contact)),
                _ => Err(unusable(operation, "an answer that is not a contact")),
            },
            404 if Said::read(&answer.body).is_some_and(|said| said.is_no_contact()) => Ok(None),
            _ => Err(self.refused(method, operation, &answer)),
        }
    }

    /// Asks for, makes or ends a contact's membership. `contact` is an id, or an address where no id is known yet.
    ///
    /// What a 404 without a message means is known of tests only; a removal that gets one is followed by a test.
    pub(crate) async fn on_list(&self, cx: &Context, verb: Verb, list: &str, contact: &str) -> Result<OnList> {
        let said = self.ask(cx, verb, list, contact).await?;
        if (verb, said) != (Verb::Remove, OnList::No) {
            return Ok(said);
        }
        match self.ask(cx, Verb::Test, list, contact).await? {
            OnList::Yes | OnList::Already => {
                Err(unusable(verb.operation(), "a 404 without a message, although the contact is on the list"))
            }
            gone => Ok(gone),
        }
    }

    async fn ask(&self, cx: &Context, verb: Verb, list: &str, contact: &str) -> Result<OnList> {
        let path = format!("/list/{}/contact/{}", segment(list), segment(contact));
        let (method, operation) = (verb.method(), verb.operation());
        let answer = self.send(cx, self.request(method, &path, operation)).await?;
        let said = Said::read(&answer.body);
        match (answer.head.status, said) {
            (200..=299, Some(said)) if !said.is_silent() => {
                Err(unusable(operation, "a success that says it is an error"))
            }
            (200..=299, Some(said)) if said.is_unmodified => Ok(OnList::Already),
            (200..=299, Some(_)) => Ok(OnList::Yes),
            // A page of some proxy is no acknowledgement, and its 404 does not mean that the contact is not on the list.
            (200..=299 | 404, None) => Err(unusable(operation, "an answer that is not JSON")),
            (404, Some(said)) if said.is_silent() => Ok(OnList::No),
            // Of a test it is known that no message means this; that a removal was acknowledged must not be guessed.
            (404, Some(Said { message: None, .. })) if matches!(verb, Verb::Test) => Ok(OnList::No),
            (404, Some(said)) if said.is_no_contact() => Ok(OnList::NoContact),
            (404, Some(said)) if said.is_no_list() => Ok(OnList::NoList),
            _ => Err(self.refused(method, operation, &answer)),
        }
    }

    async fn read(&self, cx: &Context, path: &str, operation: &str) -> Result<Bytes> {
        let answer = self.send(cx, self.request("GET", path, operation)).await?;
        self.success("GET", operation, answer)
    }

    fn request(&self, method: &str, path: &str, operation: &str) -> Request {
        Request::new(method, format!("{}{path}", self.base), operation).header(KEY_HEADER, self.api_key.expose())
    }

    async fn send(&self, cx: &Context, request: Request) -> Result<Response> {
        let _slot =
            self.slots.acquire().await.map_err(|_| {
                Error::new(ErrorKind::Internal, "the connection's queue of calls was closed").not_sent()
            })?;
        cx.http().send(request).await
    }

    fn success(&self, method: &str, operation: &str, answer: Response) -> Result<Bytes> {
        match answer.head.status {
            200..=299 => Ok(answer.body),
            _ => Err(self.refused(method, operation, &answer)),
        }
    }

    /// The error of an answer that is no success.
    fn refused(&self, method: &str, operation: &str, answer: &Response) -> Error {
        refused(operation, method, answer.head.status, &answer.body)
    }
}
