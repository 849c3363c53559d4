//! Protocol version 3 as bytes: framing with bounded lengths, and the messages of both
//! sides. Everything that speaks it, sessions, senders and clients, encodes with this.

mod backend;
mod encode;
mod encode_frontend;
mod fields;
mod frame;
mod frontend;
mod sqlstate;
mod startup;

pub use backend::{Authentication, BackendMessage, CopyDirection, TransactionStatus};
pub use encode::{
    Buffer, FieldDescription, put_authentication_ok, put_backend_key_data, put_bind_complete,
    put_close_complete, put_command_complete, put_copy_data, put_copy_data_head, put_copy_data_with,
    put_copy_done, put_copy_response, put_data_row, put_empty_query, put_error,
    put_negotiate_protocol_version, put_no_data, put_null, put_parameter_description, put_parameter_status,
    put_parse_complete, put_portal_suspended, put_ready_for_query, put_result_set, put_row,
    put_row_description, put_sasl, put_sasl_continue, put_sasl_final, put_value,
};
pub use encode_frontend::{
    put_copy_fail, put_password, put_query, put_sasl_initial, put_sasl_response, put_ssl_request,
    put_startup, put_terminate,
};
pub use fields::{ErrorFields, ErrorSubject, Severity};
pub use frame::{FRAME_BYTES_MAX, Frame, FrameError, decode_frame, frame_bytes_missing};
pub use frontend::{Bind, FrontendMessage, MalformedMessage, Parse, Target};
pub use sqlstate::SqlState;
pub use startup::{
    InvalidStartup, PROTOCOL_MINOR_MAX, ReplicationMode, STARTUP_BYTES_MAX, StartupPacket, StartupParameters,
    startup_body_bytes,
};
