//! Section 8: named sessions.
//!
//! Every session of a location has [`Directives`] of its own: the unnamed one, which plain directives speak of, and one
//! for each profile that a directive names with `profile=`. What a profile's lines in a location leave out comes from
//! its block, and then, keys and limits only, from the http level.

use core::ffi::{c_char, c_void};
use core::ptr;
use std::rc::Rc;
use std::sync::Arc;

use ngx::core::NGX_CONF_ERROR;
use ngx::ffi::{NGX_CONF_1MORE, NGX_CONF_TAKE1, NGX_CONF_TAKE2, ngx_command_t, ngx_conf_t};
use session::{CookieName, Policy};

use super::command::{Arguments, ConfError, Position, conf_log, read_block, utf8};
use super::settings::common_cookie;
use super::{Backend, COMMANDS, Directives, Lists, LocationConf, Settings, main_conf};
use crate::guard::guard_conf;
use crate::http::headers_in::HeaderName;
use crate::variables;

/// Which session of a request is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileId(u16);

impl ProfileId {
    /// The session that directives without `profile=` speak of.
    pub const UNNAMED: ProfileId = ProfileId(0);

    /// For variables, which nginx hands a number.
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    /// The profile of a number that [`Self::number`] gave.
    pub fn from_number(number: usize) -> ProfileId {
        ProfileId(u16::try_from(number).unwrap_or(0))
    }
}

/// A named session. It may be mentioned before it is declared.
pub struct Profile {
    pub id: ProfileId,
    pub name: &'static str,
    /// Where it was mentioned first, and by which directive.
    at: Position,
    by: &'static [u8],
    /// What its block says; none until it is declared.
    written: Option<Directives>,
    /// What the block comes to; none until all is read.
    settings: Option<Settings>,
}

/// All profiles of a configuration.
#[derive(Default)]
pub struct Profiles(Vec<Profile>);

impl Profiles {
    /// The id of a name, also when it is yet to be declared.
    pub fn mention(
        &mut self,
        name: &'static str,
        by: &'static [u8],
        at: Position,
    ) -> Result<ProfileId, ConfError> {
        if let Some(known) = self.0.iter().find(|profile| profile.name == name) {
            return Ok(known.id);
        }
        let id = u16::try_from(self.0.len() + 1)
            .map_err(|_| ConfError::wrong("is one profile too many"))?;
        self.0.push(Profile {
            id: ProfileId(id),
            name,
            at,
            by,
            written: None,
            settings: None,
        });
        Ok(ProfileId(id))
    }

    /// The profile of an id, unless that is the unnamed session's.
    pub fn get(&self, id: ProfileId) -> Option<&Profile> {
        self.0.get(id.number().checked_sub(1)?)
    }

    /// All that are declared or mentioned.
    pub fn all(&self) -> impl Iterator<Item = &Profile> {
        self.0.iter()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|profile| profile.name)
    }

    fn declare(&mut self, id: ProfileId, written: Directives) -> Result<(), ConfError> {
        let Some(profile) = self.0.get_mut(id.number().wrapping_sub(1)) else {
            return Err(ConfError::Duplicate);
        };
        match profile.written.replace(written) {
            None => Ok(()),
            Some(_) => Err(ConfError::Duplicate),
        }
    }

    /// All directives are read: fills in what the blocks leave out.
    pub fn complete(
        &mut self,
        http: &Directives,
        backends: &[Rc<Backend>],
    ) -> Result<(), ConfError> {
        for i in 0..self.0.len() {
            let Profile {
                id,
                name,
                at,
                by,
                written,
                settings,
            } = &mut self.0[i];
            let Some(written) = written else {
                return Err(ConfError::Contradiction {
                    text: format!(
                        "\"{}\" names unknown profile \"{name}\": allowed are those that a \"session_profile\" declares",
                        String::from_utf8_lossy(by)
                    ),
                    at: at.clone(),
                });
            };
            written.take_from_http(http, name)?;
            // A profile that no location opens is checked all the same.
            *settings = Some(Settings::resolve(
                written,
                (*id, Some(name)),
                None,
                backends,
            )?);
        }
        self.check_cookies()
    }

    /// The request headers that the blocks map: they are nobody else's, in whichever location.
    pub fn owned(&self) -> impl Iterator<Item = HeaderName> {
        self.0
            .iter()
            .filter_map(|profile| profile.settings.as_ref())
            .flat_map(Settings::owned)
    }

    /// Those of the wanted profiles whose tokens no upstream is to see.
    pub fn hidden(&self, wanted: impl Fn(ProfileId) -> bool) -> Vec<Arc<Policy>> {
        let settings = self
            .0
            .iter()
            .filter_map(|profile| profile.settings.as_ref());
        settings
            .filter(|settings| settings.hide && wanted(settings.profile))
            .map(|settings| settings.policy.clone())
            .collect()
    }

    /// The unnamed session of a location has cookies of its own, too.
    pub fn check_unnamed(&self, unnamed: &Policy) -> Result<(), ConfError> {
        for profile in &self.0 {
            profile.check_cookie(unnamed, |name| {
                format!(
                    "the profile \"{}\" and the unnamed session share the cookie \"{name}\": give the profile another \"cookie_name\"",
                    profile.name
                )
            })?;
        }
        Ok(())
    }

    /// Each profile has its own cookies.
    fn check_cookies(&self) -> Result<(), ConfError> {
        for (i, profile) in self.0.iter().enumerate() {
            for other in &self.0[..i] {
                let Some(theirs) = &other.settings else {
                    continue;
                };
                profile.check_cookie(&theirs.policy, |name| {
                    format!(
                        "the profiles \"{}\" and \"{}\" share the cookie \"{name}\": give each a \"cookie_name\"",
                        other.name, profile.name
                    )
                })?;
            }
        }
        Ok(())
    }
}

impl Profile {
    /// Refuses a cookie that another session has too; `says` makes the message of its name.
    fn check_cookie(
        &self,
        other: &Policy,
        says: impl Fn(&CookieName) -> String,
    ) -> Result<(), ConfError> {
        let (Some(block), Some(own)) = (&self.written, &self.settings) else {
            return Ok(());
        };
        match common_cookie(&own.policy, other) {
            Some(name) => Err(block.cookie.contradiction(&says(name))),
            None => Ok(()),
        }
    }
}

/// What is written at one level, for all its sessions.
#[derive(Default, Clone)]
pub struct Level {
    /// Something was written at this level.
    pub touched: bool,
    pub unnamed: Directives,
    pub named: Vec<(ProfileId, Directives)>,
}

impl Level {
    /// The directives of a session.
    pub fn of(&mut self, id: ProfileId) -> &mut Directives {
        if id == ProfileId::UNNAMED {
            return &mut self.unnamed;
        }
        let at = match self.named.iter().position(|(known, _)| *known == id) {
            Some(at) => at,
            None => {
                self.named.push((id, Directives::default()));
                self.named.len() - 1
            }
        };
        &mut self.named[at].1
    }

    /// Takes over what this level leaves out. A list is one for all sessions: a level that has any line of it inherits
    /// none.
    pub fn inherit(&mut self, outer: &Level) {
        let named = self.named.iter().map(|(_, written)| written.lists());
        let own = named.fold(self.unnamed.lists(), Lists::or);
        self.unnamed.inherit(&outer.unnamed, own);
        for (id, written) in &outer.named {
            self.of(*id).inherit(written, own);
        }
    }

    /// The directives of every session that this level has lines about, the unnamed one first.
    pub fn sessions(
        &self,
        profiles: &Profiles,
    ) -> Vec<(ProfileId, Option<&'static str>, Directives)> {
        let mut sessions = vec![(ProfileId::UNNAMED, None, self.unnamed.clone())];
        for (id, written) in &self.named {
            let Some(profile) = profiles.get(*id) else {
                continue;
            };
            let mut written = written.clone();
            if let Some(block) = &profile.written {
                written.inherit(block, written.lists());
            }
            written.access.take_from_location(&self.unnamed.access);
            sessions.push((*id, Some(profile.name), written));
        }
        sessions
    }
}

/// The directives that may say of which session they speak.
const OF_A_SESSION: [&str; 26] = [
    "session",
    "session_create",
    "session_require",
    "session_lookup",
    "session_audience",
    "session_subject",
    "session_enforce_same_subject",
    "session_max_data",
    "session_set",
    "session_unset",
    "session_info_set",
    "session_control",
    "session_control_prefix",
    "session_hide",
    "session_map_header",
    "session_request_headers",
    "session_response_headers",
    "session_cookie_jar",
    "session_cookie_jar_pass",
    "session_cookie_jar_max",
    "session_cookie_jar_size",
    "session_cache_control",
    "session_remember",
    "session_on_error",
    "session_bypass",
    "session_var",
];

/// Whether a directive takes `profile=NAME`.
pub fn is_of_a_session(directive: &[u8]) -> bool {
    OF_A_SESSION.iter().any(|name| name.as_bytes() == directive)
}

/// The directives that have no place in a profile's block: they belong to a location or to the whole configuration.
const NOT_IN_A_BLOCK: [&str; 9] = [
    "session",
    "session_create",
    "session_bypass",
    "session_require",
    "session_lookup",
    "session_on_error",
    "session_var",
    "session_backend",
    "session_profile",
];

/// `session_profile NAME { … }`.
pub fn profile(_level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let name = profile_name(args.all()[0].as_bytes())?;
    let cf = args.context();
    // SAFETY: the context is the one nginx handed to the directive that is being read.
    let profiles = unsafe { &mut main_conf(cf).profiles };
    if let Some(known) = profiles
        .0
        .iter()
        .find(|known| known.name != name && known.name.eq_ignore_ascii_case(name))
    {
        return Err(ConfError::invalid(
            name.as_bytes(),
            format!(
                "there is a profile \"{}\", and names of variables do not tell upper from lower case",
                known.name
            ),
        ));
    }
    let id = profiles.mention(name, b"session_profile", args.position())?;
    let mut block = LocationConf {
        in_block: true,
        ..LocationConf::default()
    };
    // SAFETY: as above; `block` outlives the parsing of its lines.
    unsafe { read_block(cf, on_line, ptr::from_mut(&mut block).cast()) }?;
    // SAFETY: as above; reading the block may have added profiles, so the list is fetched anew.
    let declared = unsafe { main_conf(cf).profiles.declare(id, block.written.unnamed) };
    declared?;
    // SAFETY: as above.
    unsafe { variables::register_profile(cf, name) }.ok_or(ConfError::Logged)
}

/// Names become parts of variables' names, so a name must not look like another part.
pub fn profile_name(text: &'static [u8]) -> Result<&'static str, ConfError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if text.is_empty() || !text.iter().copied().all(fits) {
        return Err(ConfError::invalid(
            text,
            "allowed are letters, digits and \"_\"",
        ));
    }
    let name = utf8(text)?;
    let lower = name.to_ascii_lowercase();
    let is_ambiguous = matches!(&*lower, "idling" | "rolling" | "absolute")
        || lower.split('_').any(|part| matches!(part, "data" | "info"));
    if is_ambiguous {
        return Err(ConfError::invalid(
            text,
            "the profile's variables could not be told from others, choose another name",
        ));
    }
    Ok(name)
}

unsafe extern "C" fn on_line(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    block: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx calls this for a line of the block, with what `read_block` was given.
    guard_conf(|| unsafe { line(cf, block) })
}

/// # Safety
///
/// `cf` is the context of the line, `block` the [`LocationConf`] it is read into.
unsafe fn line(cf: *mut ngx_conf_t, block: *mut c_void) -> *mut c_char {
    // SAFETY: by contract.
    let words = unsafe { (*(*cf).args).as_slice::<ngx::ffi::ngx_str_t>() };
    let written = String::from_utf8_lossy(words[0].as_bytes());
    let name = format!("session_{written}");
    // SAFETY: the table is only written by nginx's loader, before configurations are read.
    let commands = unsafe { &*ptr::addr_of!(COMMANDS) };
    let command = commands
        .iter()
        .find(|command| command.name.as_bytes() == name.as_bytes())
        .filter(|_| !NOT_IN_A_BLOCK.contains(&&*name));
    let error = match command {
        None => format!(
            "unknown directive \"{written}\" in \"session_profile\": allowed are the directives of keys, cookie, time, \
             data, headers and storage, without \"session_\""
        ),
        Some(command) if !takes(command.type_ as u32, words.len() - 1) => {
            format!("invalid number of arguments in \"{written}\" directive")
        }
        Some(command) => {
            return match command.set {
                // SAFETY: a command of our own table, called as nginx calls it.
                Some(set) => unsafe { set(cf, ptr::from_ref(command).cast_mut(), block) },
                None => NGX_CONF_ERROR,
            };
        }
    };
    // SAFETY: by contract.
    unsafe { conf_log(cf, &error) };
    NGX_CONF_ERROR
}

/// Whether a directive takes so many arguments.
fn takes(kind: u32, arguments: usize) -> bool {
    match arguments {
        0 => false,
        _ if kind & NGX_CONF_1MORE != 0 => true,
        1 => kind & NGX_CONF_TAKE1 != 0,
        2 => kind & NGX_CONF_TAKE2 != 0,
        _ => false,
    }
}
