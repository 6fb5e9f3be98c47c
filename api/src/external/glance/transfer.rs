//! The bytes of images, which jobs take and bring piece by piece of 1 MiB.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::channel::{Channel, Sender};
use reqwest::{Body, Response};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::requests::{path_of, refusal, signed};
use super::{Error, Glance, UserToken};
use crate::external::client::{Answer, told};
use crate::jobs::JobError;
use crate::server::Services;

/// Bytes handled at a time.
pub(crate) const PIECE_BYTES: usize = 1 << 20;
/// How long a piece may take.
const PIECE_LIMIT: Duration = Duration::from_secs(60);
/// Any transfer may take so long, and a second more for so many bytes.
const SECONDS_LEAST: u64 = 600;
const BYTES_A_SECOND: u64 = 1 << 20;
/// Pieces between the job and the connection.
const PIECES_AHEAD: usize = 2;

/// How long all the bytes of an image may take.
fn limit(bytes: u64) -> Duration {
    Duration::from_secs(SECONDS_LEAST + bytes / BYTES_A_SECOND)
}

/// Bytes that come from Glance.
pub(crate) struct Download<'a> {
    glance: &'a Glance,
    services: &'a Services,
    source: Option<Source>,
}

struct Source {
    response: Response,
    /// What came with the last piece and belongs to the next.
    rest: Bytes,
}

impl<'a> Download<'a> {
    /// Asks for the bytes of an image of about this length, with a user's token and, if that will not
    /// do or there is none, as ourselves.
    pub(crate) fn begin(
        glance: &'a Glance,
        services: &'a Services,
        user: Option<UserToken>,
        (image, bytes): (Uuid, u64),
    ) -> Result<Self, JobError> {
        let asked = glance.clone();
        let begun = glance.wait_for(services, PIECE_LIMIT, async move {
            match user {
                None => asked.open(None, image, bytes).await,
                Some(user) => match asked.open(Some(&user), image, bytes).await {
                    Err(Error::Unseen) => asked.open(None, image, bytes).await,
                    other => other,
                },
            }
        })?;
        Ok(Self {
            glance,
            services,
            source: Some(Source {
                response: begun?,
                rest: Bytes::new(),
            }),
        })
    }

    /// The next piece: full ones until the last, which is shorter; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, JobError> {
        let Some(mut source) = self.source.take() else {
            return Ok(None);
        };
        let taken = async move { (source.piece().await, source) };
        let (piece, source) = self.glance.wait_for(self.services, PIECE_LIMIT, taken)?;
        let piece = piece?;
        if piece.len() == PIECE_BYTES {
            self.source = Some(source);
        }
        Ok((!piece.is_empty()).then_some(piece))
    }
}

impl Source {
    async fn piece(&mut self) -> Result<Vec<u8>, Error> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        loop {
            let taken = self.rest.len().min(PIECE_BYTES - piece.len());
            piece.extend_from_slice(&self.rest.split_to(taken));
            if piece.len() == PIECE_BYTES {
                return Ok(piece);
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.rest = chunk,
                Ok(None) => return Ok(piece),
                Err(error) => {
                    tracing::error!(error = told(&error), "Glance broke off an image");
                    return Err(Error::Away);
                }
            }
        }
    }
}

/// What an upload reads from: fills the buffer with what is at an offset.
pub(crate) type Reader<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> Result<(), JobError>;

/// Brings the bytes of an image that has none yet.
pub(crate) fn upload(
    (glance, services): (&Glance, &Services),
    user: Option<UserToken>,
    (image, bytes): (Uuid, u64),
    read: Reader<'_>,
) -> Result<(), JobError> {
    let (sender, body) = Channel::<Bytes, io::Error>::new(PIECES_AHEAD);
    let asked = glance.clone();
    let put = async move { asked.put(user, (image, bytes), Body::wrap(body)).await };
    let answer = glance.0.thread.runtime().spawn(put);
    let sent = send((glance, services), sender, bytes, read);
    // A piece that was not taken is because of the answer, which tells more.
    match sent {
        Err(error) if error.is_interruption() => {
            answer.abort();
            Err(error)
        }
        Ok(()) => end((glance, services), answer, limit(bytes)),
        Err(error) => end((glance, services), answer, PIECE_LIMIT).and(Err(error)),
    }
}

fn send(
    (glance, services): (&Glance, &Services),
    mut sender: Sender<Bytes, io::Error>,
    bytes: u64,
    read: Reader<'_>,
) -> Result<(), JobError> {
    let mut at = 0;
    while at < bytes {
        let len = (bytes - at).min(PIECE_BYTES as u64);
        let mut piece = vec![0; len as usize];
        if let Err(error) = read(at, &mut piece) {
            sender.abort(io::Error::other("the volume cannot be read"));
            return Err(error);
        }
        at += len;
        let taken = async move { (sender.send_data(piece.into()).await, sender) };
        let (sent, next) = glance.wait_for(services, PIECE_LIMIT, taken)?;
        sender = next;
        sent.map_err(|_| Error::Away)?;
    }
    Ok(())
}

/// Waits for the answer to an upload; Glance may have to put away what it took.
fn end(
    (glance, services): (&Glance, &Services),
    answer: JoinHandle<Result<Answer, Error>>,
    limit: Duration,
) -> Result<(), JobError> {
    let answer = glance.wait_for(services, limit, answer)?;
    let answer = answer.unwrap_or(Err(Error::Away))?;
    match answer.status {
        StatusCode::NO_CONTENT => Ok(()),
        _ => Err(refusal(&answer).into()),
    }
}

impl Glance {
    async fn open(
        &self,
        user: Option<&UserToken>,
        image: Uuid,
        bytes: u64,
    ) -> Result<Response, Error> {
        let own = self.0.keystone.own_token().await?;
        let (http, id) = (&self.0.http, image.to_string());
        let [version, images, id] = path_of(&id);
        let request = http.request(Method::GET, &[version, images, id, "file"], &[]);
        let request = request.timeout(limit(bytes));
        let response = http.begin(signed(request, user, &own)?).await?;
        match response.status() {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(response),
            status => {
                if status == StatusCode::UNAUTHORIZED {
                    self.0.keystone.forget(&own.text).await;
                }
                Err(match refusal(&http.read(response).await?) {
                    // A service may be let in where its user no longer is.
                    Error::Refused(StatusCode::FORBIDDEN, _) => Error::Unseen,
                    other => other,
                })
            }
        }
    }

    async fn put(
        &self,
        user: Option<UserToken>,
        (image, bytes): (Uuid, u64),
        body: Body,
    ) -> Result<Answer, Error> {
        let own = self.0.keystone.own_token().await?;
        let (http, id) = (&self.0.http, image.to_string());
        let [version, images, id] = path_of(&id);
        let request = http
            .request(Method::PUT, &[version, images, id, "file"], &[])
            .timeout(limit(bytes))
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, bytes)
            .body(body);
        Ok(http.send(signed(request, user.as_ref(), &own)?).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::limit;

    #[test]
    fn long_images_may_take_longer() {
        assert_eq!(limit(0).as_secs(), 600);
        assert_eq!(limit(1 << 30).as_secs(), 600 + 1024);
    }
}
