//! Users, projects, roles, tokens and passwords from the command line.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

use crate::daemon::{Daemon, program};
use crate::tool;

/// Runs a command with a text on its standard input.
fn fed(command: &mut Command, input: &str) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut pipe = child.stdin.take().context("no pipe")?;
    pipe.write_all(input.as_bytes())?;
    drop(pipe);
    Ok(child.wait_with_output()?)
}

/// Runs our command line as the administrator with a text on its standard input.
fn cli(daemon: &Daemon, arguments: &[&str], input: &str) -> Result<Output> {
    fed(daemon.with_cloud(program()).args(arguments), input)
}

fn good(output: &Output) -> Result<String> {
    ensure!(output.status.success(), "{}", tool::said(output));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the user of a clouds.yaml may list volumes.
fn is_in(clouds: &std::path::Path) -> Result<bool> {
    let mut command = Command::new(program());
    command
        .env("OS_CLIENT_CONFIG_FILE", clouds)
        .args(["volume", "list"]);
    let output = tool::output(&mut command)?;
    ensure!(
        matches!(output.status.code(), Some(0 | 4)),
        "{}",
        tool::said(&output)
    );
    Ok(output.status.success())
}

#[test]
fn users_are_let_in_and_out_by_the_command_line() -> Result<()> {
    let daemon = Daemon::start()?;
    daemon.cli(&["project", "create", "lab", "--description", "for trials"])?;
    let create = ["user", "create", "ann", "--project", "lab"];
    let told = good(&cli(&daemon, &create, "first-secret\n")?)?;
    ensure!(
        told.contains("ann") && !told.contains("first-secret"),
        "{told}"
    );
    daemon.cli(&["role", "create", "guest"])?;
    daemon.cli(&["role", "add", "member", "--user", "ann", "--project", "lab"])?;
    let of_ann = ["role", "list", "--user", "ann", "--project", "lab"];
    let roles = daemon.json(&of_ann)?;
    ensure!(
        roles[0]["name"] == "member" && roles[1].is_null(),
        "{roles}"
    );
    ensure!(daemon.cli(&["role", "list"])?.contains("guest"));

    let file = daemon.data().join("ann.yaml");
    let path = file.to_str().context("a path")?;
    let write = [
        "credentials",
        "clouds.yaml",
        path,
        "--user",
        "ann",
        "--project",
        "lab",
    ];
    good(&cli(&daemon, &write, "first-secret\n")?)?;
    let mode = fs::metadata(&file)?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    ensure!(is_in(&file)?);
    let refused = cli(&daemon, &write, "other\n")?;
    ensure!(refused.status.code() == Some(4), "{}", tool::said(&refused));

    daemon.cli(&["user", "set", "ann", "--disable"])?;
    ensure!(!is_in(&file)?);
    daemon.cli(&["user", "set", "ann", "--enable"])?;
    ensure!(is_in(&file)?);
    daemon.cli(&[
        "role",
        "remove",
        "member",
        "--user",
        "ann",
        "--project",
        "lab",
    ])?;
    ensure!(!is_in(&file)?);
    daemon.cli(&["role", "add", "reader", "--user", "ann", "--project", "lab"])?;
    good(&cli(
        &daemon,
        &["user", "set", "ann", "--password"],
        "second-secret\n",
    )?)?;
    ensure!(!is_in(&file)?);

    let short = cli(&daemon, &["user", "create", "bob"], "")?;
    ensure!(short.status.code() == Some(2), "{}", tool::said(&short));
    daemon.cli(&["user", "delete", "ann"])?;
    let gone = cli(&daemon, &["user", "show", "ann"], "")?;
    ensure!(gone.status.code() == Some(3), "{}", tool::said(&gone));
    daemon.cli(&["project", "set", "lab", "--name", "attic"])?;
    ensure!(daemon.cli(&["project", "list"])?.contains("attic"));
    daemon.cli(&["project", "delete", "attic"])?;
    daemon.cli(&["role", "delete", "guest"])?;
    Ok(())
}

#[test]
fn tokens_are_issued_and_revoked() -> Result<()> {
    let daemon = Daemon::start()?;
    let token = daemon.json(&["token", "issue"])?;
    let text = token["id"].as_str().context("no token")?;
    let url = format!("http://{}/identity/v3", daemon.http()?);
    let by_token = || {
        let mut command = Command::new(program());
        command.env("OS_AUTH_URL", &url).env("OS_TOKEN", text);
        command
            .env("OS_PROJECT_NAME", "admin")
            .args(["volume", "list"]);
        tool::output(&mut command)
    };
    ensure!(by_token()?.status.success(), "{}", tool::said(&by_token()?));
    good(&cli(&daemon, &["token", "revoke"], text)?)?;
    ensure!(
        by_token()?.status.code() == Some(4),
        "{}",
        tool::said(&by_token()?)
    );
    Ok(())
}

#[test]
fn a_shell_takes_the_cloud_from_an_openrc() -> Result<()> {
    let daemon = Daemon::start()?;
    let file = daemon.data().join("openrc");
    let path = file.to_str().context("a path")?;
    daemon.cli(&["credentials", "openrc", path])?;
    let program = program();
    let script = format!(". '{path}' && '{}' project list", program.display());
    let told = tool::run(&mut tool::command("sh", &["-euc", &script]))?;
    ensure!(told.contains("admin"), "{told}");
    daemon.cli(&["credentials", "openrc", path, "--no-password", "--force"])?;
    let text = fs::read_to_string(&file)?;
    let password = fs::read_to_string(daemon.data().join("clouds.yaml"))?;
    let password = password
        .lines()
        .find_map(|line| line.trim().strip_prefix("password: "));
    ensure!(!text.contains(password.context("no password")?), "{text}");
    Ok(())
}

#[test]
fn a_lost_password_is_reset_while_the_daemon_rests() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let data = daemon.data().to_owned();
    let reset = |input: &str, user: &str| {
        let mut command = Command::new(program());
        command
            .args(["password", "reset", user, "--data"])
            .arg(&data);
        fed(&mut command, input)
    };
    let token = daemon.json(&["token", "issue"])?;
    let busy = reset("new-secret\n", "admin")?;
    ensure!(busy.status.code() == Some(4), "{}", tool::said(&busy));
    daemon.stop()?;
    let nobody = reset("new-secret\n", "nobody")?;
    ensure!(nobody.status.code() == Some(3), "{}", tool::said(&nobody));
    let done = reset("new-secret\n", "admin")?;
    ensure!(!good(&done)?.contains("new-secret"));
    daemon.up()?;
    // The daemon's own file has the new one.
    daemon.cli(&["volume", "list"])?;
    ensure!(fs::read_to_string(data.join("clouds.yaml"))?.contains("new-secret"));
    let url = format!("http://{}/identity/v3", daemon.http()?);
    let mut old = Command::new(program());
    old.env("OS_AUTH_URL", url)
        .env("OS_TOKEN", token["id"].as_str().context("no token")?);
    let refused = tool::output(old.env("OS_PROJECT_NAME", "admin").args(["volume", "list"]))?;
    ensure!(refused.status.code() == Some(4), "{}", tool::said(&refused));
    Ok(())
}
