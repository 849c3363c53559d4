//! What walctl prints and how it ends, on files and directories made here.

mod command_line;
mod controldata;
mod golden;
mod program;
mod transfer;
mod waldump;
