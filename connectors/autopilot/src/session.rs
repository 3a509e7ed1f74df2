//! What a run carries from `begin` to its batches.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use segport_sdk::{Error, ErrorKind, MappedField, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contact::Layout;
use crate::lists::SegmentList;

/// The session's state as the host keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The list of each segment.
    pub(crate) lists: Vec<SegmentList>,
    /// The mapped fields, in the order of a batch's columns.
    pub(crate) fields: Vec<MappedField>,
}

impl State {
    pub(crate) fn to_json(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|error| {
            Error::new(ErrorKind::Internal, "the run's state could not be written as JSON").because(&error)
        })
    }
}

/// The same, ready for use.
#[derive(Debug)]
pub(crate) struct Plan {
    lists: Vec<SegmentList>,
    pub(crate) layout: Layout,
}

impl Plan {
    /// The list of each segment.
    pub(crate) fn all(&self) -> &[SegmentList] {
        &self.lists
    }

    /// The lists of these segments.
    ///
    /// # Errors
    /// `contract` if the export has no such segment.
    pub(crate) fn lists(&self, segments: &[u16]) -> Result<Vec<&SegmentList>> {
        segments.iter().map(|&segment| self.list(segment)).collect()
    }

    /// The list of a segment.
    ///
    /// # Errors
    /// `contract` if the export has no such segment.
    pub(crate) fn list(&self, segment: u16) -> Result<&SegmentList> {
        self.lists.get(usize::from(segment)).ok_or_else(|| {
            let segments = self.lists.len();
            Error::new(ErrorKind::Contract, format!("a batch names segment {segment}, the export has {segments}"))
        })
    }
}

/// Plans of the runs under way, so that a batch need not parse its session.
///
/// A plan is found by its state, which costs a comparison of some small values, less than a key of its own would in rules:
/// there is nothing to make unique, and a state that is not here, such as after a restart, is parsed again.
#[derive(Debug, Default)]
pub(crate) struct Plans(Mutex<VecDeque<(Value, Arc<Plan>)>>);

impl Plans {
    /// Most plans kept; more runs than this on one connection are rare, and cost a parse per batch.
    const KEPT: usize = 8;

    /// The plan of this state.
    ///
    /// # Errors
    /// `contract` if the state is not one that `begin` made.
    pub(crate) fn get(&self, state: &Value) -> Result<Arc<Plan>> {
        let found = self.kept(|plans| plans.iter().find(|(known, _)| known == state).map(|(_, plan)| Arc::clone(plan)));
        if let Some(plan) = found {
            return Ok(plan);
        }
        let State { lists, fields } = State::deserialize(state).map_err(|error| {
            Error::new(ErrorKind::Contract, "a batch's session is not one that this connector made").because(&error)
        })?;
        let plan = Arc::new(Plan { lists, layout: Layout::new(&fields)? });
        self.kept(|plans| {
            plans.push_back((state.clone(), Arc::clone(&plan)));
            if plans.len() > Self::KEPT {
                plans.pop_front();
            }
        });
        Ok(plan)
    }

    /// Forgets the plan of a run that ended.
    pub(crate) fn forget(&self, state: &Value) {
        self.kept(|plans| plans.retain(|(known, _)| known != state));
    }

    fn kept<T>(&self, use_them: impl FnOnce(&mut VecDeque<(Value, Arc<Plan>)>) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
