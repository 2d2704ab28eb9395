//! The listeners, plain and with TLS, and what clients are told to connect to.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use crate::access::tls::{Tls, TlsSettings};
use crate::admin::{BrokerFacts, Detail};
use crate::config::Config;

/// The listeners with TLS, as far as they are configured.
pub(super) struct OverTls {
    pub(super) protocol: Option<(TcpListener, Tls)>,
    pub(super) admin: Option<(TcpListener, Tls)>,
}

impl OverTls {
    pub(super) async fn open(config: &Config) -> Result<Self> {
        let open = async |port: Option<u16>, key: &str| -> Result<Option<(TcpListener, Tls)>> {
            let Some(port) = port else { return Ok(None) };
            let tls =
                Tls::new(TlsSettings::from_config(config)?).with_context(|| format!("listen with TLS ({key})"))?;
            Ok(Some((bind(&config.bind_address, port, key).await?, tls)))
        };
        Ok(Self {
            protocol: open(config.broker_service_port_tls, "brokerServicePortTls").await?,
            admin: open(config.web_service_port_tls, "webServicePortTls").await?,
        })
    }
}

/// What clients are told to connect to.
pub(super) struct Advertised {
    pub(super) service_address: String,
    web_address: String,
    pub(super) service_address_tls: Option<String>,
    web_address_tls: Option<String>,
}

impl Advertised {
    pub(super) fn new(config: &Config, protocol: SocketAddr, admin: SocketAddr, over_tls: &OverTls) -> Self {
        let host = config.advertised_address.clone().unwrap_or_else(|| {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            if name.is_empty() { "localhost".to_owned() } else { name }
        });
        let encrypted = |listener: &Option<(TcpListener, Tls)>| {
            let address = listener.as_ref().and_then(|(listener, _)| listener.local_addr().ok())?;
            Some(format!("{host}:{}", address.port()))
        };
        Self {
            service_address: format!("{host}:{}", protocol.port()),
            web_address: format!("{host}:{}", admin.port()),
            service_address_tls: encrypted(&over_tls.protocol),
            web_address_tls: encrypted(&over_tls.admin),
        }
    }

    /// `host:port` of the REST API.
    pub(super) fn web_address(&self) -> &str {
        &self.web_address
    }

    pub(super) fn facts(&self, config: &Config) -> BrokerFacts {
        BrokerFacts {
            cluster: config.cluster_name.clone(),
            web_address: self.web_address.clone(),
            service_address: self.service_address.clone(),
            web_address_tls: self.web_address_tls.clone(),
            service_address_tls: self.service_address_tls.clone(),
            authenticate_metrics: config.authenticate_metrics,
            offloaders_directory: config.offloaders_directory.clone(),
            force_delete_namespace_allowed: config.force_delete_namespace_allowed,
            force_delete_tenant_allowed: config.force_delete_tenant_allowed,
            extra_offload_drivers: config.extra_offload_drivers.clone(),
            metrics_detail: Detail::new(config.metrics_by_topic, config.metrics_partition_apart),
            configuration: config.shown.clone(),
        }
    }
}

pub(super) async fn bind(address: &str, port: u16, key: &str) -> Result<TcpListener> {
    let bound = TcpListener::bind((address, port)).await;
    bound.with_context(|| {
        format!("open port {port} on {address}; stop what uses it or choose another {key} in the configuration")
    })
}
