//! The plans in force, by name, and how often each was used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{Rng, RngExt};

use crate::fault::Fault;
use crate::plan::Plan;

/// A default plan and plans for some names. Setting a plan starts its counts anew.
pub(crate) struct Plans {
    inner: Mutex<Inner>,
}

struct Inner {
    default: Slot,
    by_name: HashMap<String, Slot>,
}

struct Slot {
    plan: Arc<Plan>,
    connections: u64,
    requests: u64,
}

/// A plan for one use: a connection or a request.
pub(crate) struct Use {
    pub(crate) plan: Arc<Plan>,
    /// How many uses of its kind the plan had before.
    earlier: u64,
}

impl Use {
    /// The fault that hits this use, if it is one of those that are `wanted` here.
    pub(crate) fn fault(
        &self,
        random: &mut impl Rng,
        wanted: impl Fn(&Fault) -> bool,
    ) -> Option<Fault> {
        let fault = self.plan.fault.filter(wanted)?;
        let counts = self.plan.fault_count.is_none_or(|count| self.earlier < count);
        let probability = self.plan.fault_probability.clamp(0.0, 1.0);
        (counts && random.random_bool(probability)).then_some(fault)
    }
}

impl Plans {
    pub(crate) fn new(default: Plan, by_name: Vec<(String, Plan)>) -> Plans {
        let plans = Plans {
            inner: Mutex::new(Inner { default: Slot::new(default), by_name: HashMap::new() }),
        };
        for (name, plan) in by_name {
            plans.set_for(&name, plan);
        }
        plans
    }

    pub(crate) fn set(&self, plan: Plan) {
        self.lock().default = Slot::new(plan);
    }

    pub(crate) fn set_for(&self, name: &str, plan: Plan) {
        self.lock().by_name.insert(name.to_ascii_lowercase(), Slot::new(plan));
    }

    /// The default plan, uncounted.
    pub(crate) fn default_plan(&self) -> Arc<Plan> {
        self.lock().default.plan.clone()
    }

    /// The plan for a connection to `name`, counted.
    pub(crate) fn for_connection(&self, name: Option<&str>) -> Use {
        let mut inner = self.lock();
        let slot = inner.slot(name);
        slot.connections += 1;
        Use { plan: slot.plan.clone(), earlier: slot.connections - 1 }
    }

    /// The plan for a request to `name`, counted.
    pub(crate) fn for_request(&self, name: Option<&str>) -> Use {
        let mut inner = self.lock();
        let slot = inner.slot(name);
        slot.requests += 1;
        Use { plan: slot.plan.clone(), earlier: slot.requests - 1 }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn slot(&mut self, name: Option<&str>) -> &mut Slot {
        let named = name.and_then(|name| self.by_name.get_mut(name));
        named.unwrap_or(&mut self.default)
    }
}

impl Slot {
    fn new(plan: Plan) -> Slot {
        Slot { plan: Arc::new(plan), connections: 0, requests: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn faulty(fault_count: Option<u64>, fault_probability: f64) -> Plan {
        Plan { fault: Some(Fault::Hang), fault_count, fault_probability, ..Plan::default() }
    }

    fn faults(plans: &Plans, name: Option<&str>, requests: usize) -> usize {
        let mut random = StdRng::seed_from_u64(5);
        (0..requests)
            .filter(|_| plans.for_request(name).fault(&mut random, |_| true).is_some())
            .count()
    }

    #[test]
    fn names_have_their_own_plan_and_count() {
        let plans =
            Plans::new(faulty(Some(2), 1.0), vec![("A.example".to_owned(), Plan::default())]);
        assert_eq!(faults(&plans, Some("a.example"), 5), 0);
        assert_eq!(faults(&plans, Some("b.example"), 5), 2);
        assert_eq!(faults(&plans, None, 5), 0, "the default plan is used up");
        plans.set(faulty(Some(2), 1.0));
        assert_eq!(faults(&plans, None, 5), 2);
    }

    #[test]
    fn probability_decides_how_many() {
        let hits = faults(&Plans::new(faulty(None, 0.25), Vec::new()), None, 4000);
        assert!((900..1100).contains(&hits), "{hits}");
        assert_eq!(faults(&Plans::new(faulty(None, 0.0), Vec::new()), None, 100), 0);
    }

    #[test]
    fn connections_and_requests_are_counted_apart() {
        let plans = Plans::new(faulty(Some(1), 1.0), Vec::new());
        let mut random = StdRng::seed_from_u64(5);
        assert!(plans.for_connection(None).fault(&mut random, |_| true).is_some());
        assert!(plans.for_connection(None).fault(&mut random, |_| true).is_none());
        assert_eq!(faults(&plans, None, 3), 1);
        let unwanted = Plans::new(faulty(None, 1.0), Vec::new()).for_request(None);
        assert!(unwanted.fault(&mut random, |fault| *fault != Fault::Hang).is_none());
    }
}
