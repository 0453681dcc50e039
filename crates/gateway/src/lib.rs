//! The gateway: every model behind one address, in the dialects of OpenAI and Anthropic.
//!
//! It drives the gate of `mainstay-inference`: the gate decides, a [`Flow`] makes the calls of one request,
//! the ledger keeps what was spent. Nothing of an answer reaches a caller before it is certain whose answer
//! it is; what fails before that is repeated or answered elsewhere, unseen.

mod deadline;
mod embed;
mod flow;
mod gateway;
mod http;
mod ledger;
mod log;
mod mail;
mod meter;
mod metrics;
mod request_id;
mod settings;
mod telemetry;
mod trace;

pub use flow::{Flow, FlowError, Start};
pub use gateway::Gateway;
pub use http::{
    Caller, flow_report, is_below, lost, patience, router, routes, turned_away, unserved,
};
pub use ledger::{Ledger, LedgerError, UsageRow};
pub use request_id::{request_id, request_id_and_random};
pub use settings::{ModelInfo, Settings};
