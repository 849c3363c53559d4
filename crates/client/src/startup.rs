use bytes::BytesMut;
use walship_protocol::Target;
use walship_protocol::wire::{Authentication, BackendMessage, put_password, put_startup};

use crate::{ClientError, Connection, Purpose};

impl Connection {
    /// Says who we are, and waits until the server takes commands.
    pub(crate) async fn start_up(
        &mut self,
        target: &Target,
        purpose: Purpose,
        application_name: &str,
    ) -> Result<(), ClientError> {
        let name = target.application_name.as_deref().unwrap_or(application_name);
        let mut parameters = vec![("user", target.user.as_str())];
        match purpose {
            // as PostgreSQL's own tools: the database means nothing there
            Purpose::Replication => {
                parameters.extend([("database", "replication"), ("replication", "true")]);
            }
            Purpose::Sql => {
                parameters.extend([("database", target.database.as_str()), ("client_encoding", "UTF8")]);
            }
        }
        parameters.push(("application_name", name));
        parameters.extend(target.options.as_deref().map(|options| ("options", options)));
        let mut out = BytesMut::new();
        put_startup(&mut out, parameters);
        self.write(&out).await?;
        loop {
            match self.receive().await? {
                BackendMessage::Authentication(request) => self.authenticate(target, request).await?,
                BackendMessage::ParameterStatus { name, value } => self.set_parameter(name, value),
                BackendMessage::BackendKeyData { pid, .. } => self.set_pid(pid),
                BackendMessage::Error(error) => {
                    let host = self.host().to_string();
                    return Err(ClientError::Refused { host, error: Box::new(error) });
                }
                BackendMessage::ReadyForQuery(_) => return Ok(()),
                BackendMessage::Notice(_) | BackendMessage::NegotiateProtocolVersion => {}
                other => return Err(self.unexpected("the end of the start-up", &other)),
            }
        }
    }

    async fn authenticate(&mut self, target: &Target, request: Authentication) -> Result<(), ClientError> {
        let host = self.host().to_string();
        let method = match request {
            Authentication::Ok => return Ok(()),
            Authentication::CleartextPassword => {
                let password = target.password.as_ref().ok_or(ClientError::NoPassword { host })?;
                let mut out = BytesMut::new();
                put_password(&mut out, password.reveal());
                return self.write(&out).await;
            }
            Authentication::Md5Password(_) => "an MD5 password".to_owned(),
            Authentication::Sasl(mechanisms) => format!("one of {}", mechanisms.join(", ")),
            Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => "SASL out of order".to_owned(),
            Authentication::Other(number) => format!("authentication method {number}"),
        };
        Err(ClientError::Authentication { host, method })
    }
}
