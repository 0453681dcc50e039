//! How servers are asked whether they take requests.

use crate::format::{DURATION, HEALTH_ADDRESS};
use crate::shape::{Field, Kind, Shape};

pub(super) static HEALTH: Shape = Shape {
    title: "health check",
    doc: "How a model's server is asked whether it takes requests. Until its first answer of 200 to 299, and after `retries` failures in a row, nothing is sent to it.",
    fields: &[
        Field::required(
            "http",
            Kind::Format(&HEALTH_ADDRESS),
            "Asked with GET: a path at the server of `base_url`, or a URL.",
        )
        .example("\"/health\""),
        Field::default(
            "interval",
            Kind::Format(&DURATION),
            "\"5s\"",
            "From the end of a check to the next.",
        ),
        Field::default(
            "timeout",
            Kind::Format(&DURATION),
            "\"2s\"",
            "How long a check may take; later is a failure.",
        ),
        Field::default(
            "retries",
            Kind::Integer { min: 1, max: 1000 },
            "3",
            "This many failures in a row take it out of service; one success puts it back.",
        ),
        Field::default(
            "start_period",
            Kind::Format(&DURATION),
            "\"60s\"",
            "For so long, until the first success, failures do not count: it is starting.",
        ),
    ],
    cases: &[],
};
