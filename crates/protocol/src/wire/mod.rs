//! Protocol version 3 as bytes, as far as replication connections and walship's own
//! client use it: framing with bounded lengths, and the messages of both sides.

mod backend;
mod fields;
mod frame;
mod frontend;

pub use backend::{
    Authentication, BackendMessage, CopyDirection, TransactionStatus, put_command_complete, put_copy_data,
    put_copy_done, put_copy_response, put_data_row, put_error, put_notice, put_parameter_status,
    put_ready_for_query, put_result_set,
};
pub use fields::{ErrorFields, Severity};
pub use frame::{FRAME_BYTES_MAX, Frame, FrameError, decode_frame};
pub use frontend::{FrontendMessage, put_copy_fail, put_password, put_query, put_startup, put_terminate};
