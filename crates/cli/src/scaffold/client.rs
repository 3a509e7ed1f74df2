//! Requests to {{name}}, and its answers.

use segport_sdk::http::Request;
use segport_sdk::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{refused, unusable};
use crate::settings::Settings;

/// One account. Rate, retries and deadlines are the host's.
#[derive(Debug)]
pub(crate) struct Client {
    settings: Settings,
}

/// What became of one member.
#[derive(Debug, Deserialize)]
pub(crate) struct Member {
    pub(crate) id: Option<String>,
    pub(crate) error: Option<String>,
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The account's id.
    pub(crate) async fn account(&self, cx: &Context) -> Result<String> {
        #[derive(Deserialize)]
        struct Account {
            id: String,
        }
        let account: Account = self.ask(cx, self.request("GET", "/account", "GET /account")).await?;
        Ok(account.id)
    }

    /// Where the account is.
    pub(crate) fn address(&self) -> &str {
        &self.settings.base_url
    }

    /// Makes a list, or does nothing if there is one.
    pub(crate) async fn ensure_list(&self, cx: &Context, list: &str, name: &str) -> Result<()> {
        let request = self.request("PUT", &format!("/lists/{list}"), "PUT /lists/{list}");
        let _: Value = self.ask(cx, request.json(json!({ "name": name }).to_string())).await?;
        Ok(())
    }

    /// Adds or updates members and puts them on `lists`; one result for each, in order.
    pub(crate) async fn upsert(&self, cx: &Context, lists: &[&str], members: &[Value]) -> Result<Vec<Member>> {
        #[derive(Deserialize)]
        struct Answer {
            results: Vec<Member>,
        }
        let body = json!({ "lists": lists, "members": members }).to_string();
        let answer: Answer = self.ask(cx, self.request("POST", "/members", "POST /members").json(body)).await?;
        Ok(answer.results)
    }

    /// Takes members off a list.
    pub(crate) async fn remove(&self, cx: &Context, list: &str, ids: &[&str]) -> Result<()> {
        let request = self.request("POST", &format!("/lists/{list}/remove"), "POST /lists/{list}/remove");
        let _: Value = self.ask(cx, request.json(json!({ "ids": ids }).to_string())).await?;
        Ok(())
    }

    /// `operation` names the call in logs and errors: a path may hold a profile's data.
    fn request(&self, method: &str, path: &str, operation: &str) -> Request {
        let Settings { api_key, base_url, .. } = &self.settings;
        Request::new(method, format!("{base_url}{path}"), operation)
            .header("authorization", format!("Bearer {}", api_key.expose()))
    }

    async fn ask<T: DeserializeOwned>(&self, cx: &Context, request: Request) -> Result<T> {
        let operation = request.head.operation.clone();
        let answer = cx.http().send(request).await?;
        match answer.head.status {
            200..=299 => serde_json::from_slice(&answer.body).map_err(|_| unusable(&operation)),
            status => Err(refused(&operation, status)),
        }
    }
}
