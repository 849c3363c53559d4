use bytes::BytesMut;
use walship_auth::nonce;
use walship_auth::scram::{ClientBinding, ClientExchange, MECHANISM, MECHANISM_PLUS};
use walship_protocol::wire::{
    Authentication, BackendMessage, ErrorFields, put_password, put_sasl_initial, put_sasl_response,
    put_startup,
};
use walship_protocol::{ChannelBinding, Target};

use crate::password::password_for;
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
                BackendMessage::Authentication(request) => {
                    self.authenticate(target, purpose, request).await?;
                }
                BackendMessage::ParameterStatus { name, value } => self.set_parameter(name, value),
                BackendMessage::BackendKeyData { pid, .. } => self.set_pid(pid),
                BackendMessage::Error(error) => return Err(self.refused(error)),
                BackendMessage::ReadyForQuery(_) => return Ok(()),
                BackendMessage::Notice(_) | BackendMessage::NegotiateProtocolVersion => {}
                other => return Err(self.unexpected("the end of the start-up", &other)),
            }
        }
    }

    fn refused(&self, error: ErrorFields) -> ClientError {
        ClientError::Refused { host: self.host().to_string(), error: Box::new(error) }
    }

    async fn authenticate(
        &mut self,
        target: &Target,
        purpose: Purpose,
        request: Authentication,
    ) -> Result<(), ClientError> {
        let host = self.host().to_string();
        let password =
            |host: String| password_for(target, self.host(), purpose).ok_or(ClientError::NoPassword { host });
        let must_bind = target.tls.channel_binding == ChannelBinding::Require;
        let method = match request {
            // after SCRAM with binding this is not reached with anything left to prove
            Authentication::Ok if must_bind && !self.is_bound() => {
                let reason = "server authenticated client without channel binding";
                return Err(ClientError::ChannelBinding { host, reason });
            }
            Authentication::Ok => return Ok(()),
            Authentication::CleartextPassword if !must_bind => {
                let password = password(host)?;
                let mut out = BytesMut::new();
                put_password(&mut out, &password);
                return self.write(&out).await;
            }
            Authentication::CleartextPassword => "a password in clear".to_owned(),
            Authentication::Md5Password(_) => "an MD5 password".to_owned(),
            Authentication::Sasl(mechanisms) => {
                let password = password(host)?;
                return self.scram(target, &password, &mechanisms).await;
            }
            Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => "SASL out of order".to_owned(),
            Authentication::Other(number) => format!("authentication method {number}"),
        };
        Err(ClientError::Authentication { host, method })
    }

    /// Proves that we know the password, and has the server prove that it does.
    async fn scram(
        &mut self,
        target: &Target,
        password: &str,
        mechanisms: &[String],
    ) -> Result<(), ClientError> {
        let host = self.host().to_string();
        let offers = |mechanism: &str| mechanisms.iter().any(|offered| offered == mechanism);
        let wanted = target.tls.channel_binding;
        let binding = match (wanted, self.end_point()) {
            (ChannelBinding::Disable, _) | (_, None) => ClientBinding::Unsupported,
            (_, Some(hash)) if offers(MECHANISM_PLUS) => ClientBinding::EndPoint(hash),
            (_, Some(_)) => ClientBinding::NotOffered,
        };
        let is_bound = matches!(binding, ClientBinding::EndPoint(_));
        if wanted == ChannelBinding::Require && !is_bound {
            let reason = if self.is_tls() { "server did not offer it" } else { "SSL not in use" };
            return Err(ClientError::ChannelBinding { host, reason });
        }
        if !is_bound && !offers(MECHANISM) {
            let method = format!("one of {}", mechanisms.join(", "));
            return Err(ClientError::Authentication { host, method });
        }
        let failed = |source| ClientError::Scram { host: host.clone(), source };
        let fresh = nonce().map_err(|error| ClientError::Broken {
            host: host.clone(),
            source: std::io::Error::other(error),
        })?;
        let (exchange, first) = ClientExchange::begin(password, binding, fresh);
        let mut out = BytesMut::new();
        put_sasl_initial(&mut out, exchange.mechanism(), first.as_bytes());
        self.write(&out).await?;
        let challenge = match self.receive().await? {
            BackendMessage::Authentication(Authentication::SaslContinue(data)) => data,
            BackendMessage::Error(error) => return Err(self.refused(error)),
            other => return Err(self.unexpected("a SCRAM challenge", &other)),
        };
        let (proven, last) = exchange.respond(&String::from_utf8_lossy(&challenge)).map_err(failed)?;
        out.clear();
        put_sasl_response(&mut out, last.as_bytes());
        self.write(&out).await?;
        match self.receive().await? {
            BackendMessage::Authentication(Authentication::SaslFinal(data)) => {
                proven.verify(&String::from_utf8_lossy(&data)).map_err(failed)?;
                self.set_bound(is_bound);
                Ok(())
            }
            BackendMessage::Error(error) => Err(self.refused(error)),
            other => Err(self.unexpected("the end of the SCRAM exchange", &other)),
        }
    }
}
