//! Who a client is, and what it may do.
//!
//! | to understand | read |
//! |---|---|
//! | what may be asked, and who may do it | [`rules`] |
//! | roles that were granted something, as they are recorded | [`crate::namespace::permissions`] |
//! | how a token is looked at | [`token`] |
//! | encrypted listeners | [`tls`] |
//!
//! Both listeners ask [`Access`]: once for a connection or an HTTP request, who comes; and then for what is asked, whether that
//! role may. With `authenticationEnabled=false` everybody is [`Principal::anybody`], who may do everything.
//!
//! Names, roles and rules are Pulsar's (`AuthenticationProviderToken`, `PulsarAuthorizationProvider`).

pub mod rules;
pub mod tls;
mod token;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::config::Config;
use crate::namespace::{NamespaceError, Namespaces};

use rules::{Granted, Wish};
use token::Tokens;

/// The one way to prove who one is that is built in, in the spelling of the key `authenticationProviders`.
const TOKEN_PROVIDER: &str = "org.apache.pulsar.broker.authentication.AuthenticationProviderToken";
/// What clients call it.
const TOKEN_METHOD: &str = "token";
/// What clients without credentials say.
const NO_METHOD: &str = "none";

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    role: Option<Arc<str>>,
    /// Seconds since 1970 after which somebody must prove it again.
    expires: Option<u64>,
}

impl Principal {
    /// Nobody was asked.
    pub fn anybody() -> Self {
        Self { role: None, expires: None }
    }

    fn role(role: &str) -> Self {
        Self { role: Some(role.into()), expires: None }
    }

    /// The role, for messages.
    pub fn name(&self) -> &str {
        self.role.as_deref().unwrap_or("anybody")
    }

    /// Whether the proof is out of date.
    pub fn is_expired(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.expires.is_some_and(|expires| now >= expires)
    }
}

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLetIn {
    /// Nothing was shown.
    #[error("Authentication required")]
    Nothing,
    /// Something that is not taken here.
    #[error("authentication method `{0}` is not taken here; use `{TOKEN_METHOD}`")]
    Method(String),
    /// A header of another kind.
    #[error("the Authorization header is not taken here; send `Bearer` and a token")]
    Header,
    /// A token that proves nothing.
    #[error("Authentication failed: {0}")]
    Token(String),
}

/// Why somebody may not do something.
#[derive(Debug, thiserror::Error)]
pub enum NotAllowed {
    /// The role has no such right.
    #[error("role `{role}` may not {wish}: {missing}")]
    Role {
        /// Who.
        role: String,
        /// What.
        wish: String,
        /// Who could.
        missing: &'static str,
    },
    /// What is granted cannot be looked up.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
}

/// The door. The default one is open: everybody may do everything.
#[derive(Default)]
pub struct Access {
    tokens: Option<Tokens>,
    anonymous_role: Option<String>,
    rights: Option<Rights>,
}

/// Where it is recorded what roles may do.
struct Rights {
    super_users: Vec<String>,
    namespaces: Arc<Namespaces>,
}

impl Access {
    /// As configured.
    ///
    /// # Errors
    /// Keys that contradict each other or files that cannot be read, and what to do.
    pub fn new(config: &Config, namespaces: Arc<Namespaces>) -> Result<Self> {
        let tokens = if config.authentication_enabled { Some(tokens(config)?) } else { None };
        if config.authorization_enabled && tokens.is_none() {
            bail!("authorizationEnabled needs authenticationEnabled: nobody's role is known without it");
        }
        Ok(Self {
            tokens,
            anonymous_role: config.anonymous_user_role.clone(),
            rights: config
                .authorization_enabled
                .then(|| Rights { super_users: config.super_user_roles.clone(), namespaces }),
        })
    }

    /// Who comes with this, by the method's name of the binary protocol.
    ///
    /// # Errors
    /// Why nobody is let in with it.
    pub fn principal(&self, method: &str, proof: &[u8]) -> Result<Principal, NotLetIn> {
        let Some(tokens) = &self.tokens else { return Ok(Principal::anybody()) };
        match method {
            TOKEN_METHOD => tokens.principal(proof).map_err(NotLetIn::Token),
            "" | NO_METHOD => self.anonymous_role.as_deref().map(Principal::role).ok_or(NotLetIn::Nothing),
            other => Err(NotLetIn::Method(other.to_owned())),
        }
    }

    /// Who comes with this `Authorization` header.
    ///
    /// # Errors
    /// Why nobody is let in with it.
    pub fn principal_of_header(&self, header: Option<&[u8]>) -> Result<Principal, NotLetIn> {
        match header.map(|header| header.strip_prefix(b"Bearer ")) {
            None => self.principal(NO_METHOD, b""),
            Some(Some(token)) => self.principal(TOKEN_METHOD, token),
            // Where nobody is asked, nobody is refused.
            Some(None) if self.tokens.is_none() => Ok(Principal::anybody()),
            Some(None) => Err(NotLetIn::Header),
        }
    }

    /// Whether `principal` may do that.
    ///
    /// # Errors
    /// That it may not, and who may; or that what is granted cannot be read.
    pub async fn allow(&self, principal: &Principal, wish: &Wish) -> Result<(), NotAllowed> {
        let (Some(rights), Some(role)) = (&self.rights, principal.role.as_deref()) else { return Ok(()) };
        if rights.super_users.iter().any(|super_user| super_user == role) {
            return Ok(());
        }
        let granted = rights.granted(wish).await?;
        match rules::missing(role, wish, &granted) {
            None => Ok(()),
            Some(missing) => Err(NotAllowed::Role { role: role.to_owned(), wish: wish.to_string(), missing }),
        }
    }
}

impl Rights {
    /// What is recorded of the tenant and the namespace that the wish is about. What is not there grants nothing.
    async fn granted(&self, wish: &Wish) -> Result<Granted, NamespaceError> {
        let mut granted = Granted::default();
        let (Some(tenant), namespace) = (wish.tenant(), wish.namespace()) else { return Ok(granted) };
        if let Some(tenant) = found(self.namespaces.tenant(tenant).await)? {
            granted.tenant_admins = tenant.admin_roles;
        }
        if let Some(namespace) = namespace
            && let Some(policies) = found(self.namespaces.policies(namespace).await)?
        {
            granted.permissions = policies.auth_policies;
        }
        Ok(granted)
    }
}

fn found<T>(answer: Result<T, NamespaceError>) -> Result<Option<T>, NamespaceError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(NamespaceError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn tokens(config: &Config) -> Result<Tokens> {
    let providers = &config.authentication_providers;
    if let Some(unknown) = providers.iter().find(|provider| *provider != TOKEN_PROVIDER) {
        bail!("authenticationProviders: `{unknown}` is not built in; known is {TOKEN_PROVIDER}");
    }
    if providers.is_empty() {
        bail!("authenticationEnabled is true and authenticationProviders names none: set it to {TOKEN_PROVIDER}");
    }
    Tokens::new(config).context("look at the keys of tokens")
}

#[cfg(test)]
pub(crate) mod tests;
