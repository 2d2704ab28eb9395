//! The second half of a look: who serves each driver, now that it is settled who serves as each plugin.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Cause, Failure, Lookout, Retry, now_ms};
use crate::plugin::claims::{self, Claimant};
use crate::plugin::generation::Generation;
use crate::plugin::registry::{Claim, Service};
use crate::plugin::takeover::{self, Failed, InUse};

impl Lookout {
    /// Decides who serves each driver, and remembers it.
    pub(super) async fn settle_drivers(&mut self, cause: Cause) -> Vec<Service> {
        let mut drivers: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
        let mut generations: Vec<&Arc<Generation>> = self.serving.values().collect();
        generations.sort_by(|a, b| a.plugin().file.cmp(&b.plugin().file));
        for generation in generations {
            for driver in &generation.plugin().note.drivers {
                let claim = Claim { driver: driver.clone(), generation: Arc::clone(generation) };
                drivers.entry(driver.to_ascii_lowercase()).or_default().push(claim);
            }
        }
        let mut services = Vec::new();
        for (driver, claims) in drivers {
            let service = self.settle_driver(&driver, claims, cause).await;
            services.push(service);
        }
        let served = services.iter().filter_map(|service: &Service| {
            Some((service.driver.to_ascii_lowercase(), service.server()?.generation.plugin().note.name.clone()))
        });
        self.incumbents = served.collect();
        services
    }

    /// Decides on one driver; whoever is to take it over from another plugin must pass the gate first.
    async fn settle_driver(&mut self, driver: &str, claims: Vec<Claim>, cause: Cause) -> Service {
        loop {
            let ruling = self.rule(driver, &claims, cause);
            let service = Service { driver: claims[0].driver.clone(), claims: claims.clone(), ruling };
            let Some((server, before)) = service.server().zip(self.server_before(driver)) else { return service };
            if Arc::ptr_eq(&server.generation, &before) {
                return service;
            }
            let next = &server.generation;
            let in_use = self.instances.in_use(&before, driver).into_iter().map(|(settings, instance)| InUse {
                driver: server.driver.clone(),
                settings,
                instance,
            });
            match takeover::pass(next, in_use.collect()).await {
                Ok(made) => {
                    self.instances.keep(made);
                    return service;
                }
                Err(Failed { reason, retryable }) => {
                    let key = (driver.to_owned(), next.number);
                    let retry = if retryable { Retry::Soon } else { Retry::Asked };
                    let failure = self.failure(self.declined.get(&key), reason, retry);
                    self.declined.insert(key, failure);
                }
            }
        }
    }

    fn rule(&self, driver: &str, claims: &[Claim], cause: Cause) -> claims::Ruling {
        let claimants: Vec<Claimant<'_>> = claims
            .iter()
            .map(|claim| {
                let note = &claim.generation.plugin().note;
                let declined = self.declined.get(&(driver.to_owned(), claim.generation.number));
                Claimant {
                    plugin: &note.name,
                    version: &note.version,
                    has_file: self.has_file(&claim.generation),
                    declined: declined.is_some_and(|failure| !self.is_due(failure, cause)),
                }
            })
            .collect();
        claims::rule(&claimants, self.incumbents.get(driver).map(String::as_str), self.settings.pins.of(driver))
    }

    /// The generation in charge of the plugin that served a driver until now.
    fn server_before(&self, driver: &str) -> Option<Arc<Generation>> {
        self.serving.get(self.incumbents.get(driver)?).cloned()
    }

    /// Why `generation` did not take `driver` over.
    pub(in crate::plugin) fn declined(&self, driver: &str, generation: &Generation) -> Option<&Failure> {
        self.declined.get(&(driver.to_ascii_lowercase(), generation.number))
    }

    /// Relieves plugins whose file is gone and that serve no driver; answers whether there were any.
    pub(super) fn relieve_idle(&mut self, services: &[Service]) -> bool {
        if self.folder_error.is_some() {
            return false;
        }
        let serves = |generation: &Arc<Generation>| {
            services.iter().filter_map(Service::server).any(|claim| Arc::ptr_eq(&claim.generation, generation))
        };
        let idle: Vec<String> = self
            .serving
            .iter()
            .filter(|(_, generation)| !self.has_file(generation) && !serves(generation))
            .map(|(plugin, _)| plugin.clone())
            .collect();
        for generation in idle.iter().filter_map(|plugin| self.serving.remove(plugin)) {
            generation.relieve("its file is gone and other plugins serve its drivers", now_ms());
            self.relieved.push(generation);
        }
        !idle.is_empty()
    }
}
