//! Which workload a process belongs to: the pod, container or systemd unit after which its control group is named.
//!
//! The names are those of the host's own files: `/proc/PID/cgroup` (cgroups(7)) and the folders of `/var/log/pods`,
//! in which a kubelet keeps the logs of its pods.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use da_ebpf_common::peers::Peers;
use foldhash::HashMap;

use super::peers::{printable, process_name};

/// Processes whose workload is remembered; beyond that all are asked again.
const MAX_PROCESSES: usize = 1_024;
/// How long one is remembered: seldom is a process's number given out again to one of the same name within that time.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// Pods that are remembered, several times as many as a node runs.
const MAX_PODS: usize = 4_096;
/// How often one that is not known is looked for.
const LEAST_LOOKS_APART: Duration = Duration::from_secs(1);
/// What runtimes put before a container's id, and what they are called.
const RUNTIMES: [(&str, &str); 5] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-", "podman"),
    ("nerdctl-", "containerd"),
];
/// Digits of a container's id, and how many of these are shown, as `docker ps` does.
const ID_DIGITS: usize = 64;
const SHOWN_DIGITS: usize = 12;

/// A process, and what it called itself.
type Asked = (u32, String);

/// The workloads of this host's processes.
#[derive(Debug)]
pub struct Workloads {
    /// `/proc`; none where its processes have other numbers than the kernel view's, or are of another time.
    processes: Option<PathBuf>,
    pods: Pods,
    remembered: HashMap<Asked, (Instant, Option<Arc<str>>)>,
}

impl Workloads {
    /// Of this host, if this process sees its processes as the kernel does: not in a PID namespace.
    pub fn of_host() -> Self {
        let sees_all = crate::clock::own_pid().is_some();
        Self::read(sees_all.then(|| PathBuf::from("/proc")), PathBuf::from("/var/log/pods"))
    }

    /// Nothing is known of any.
    pub fn unknown() -> Self {
        Self::read(None, PathBuf::new())
    }

    fn read(processes: Option<PathBuf>, folders: PathBuf) -> Self {
        let pods = Pods { folders, names: HashMap::default(), looked: None };
        Self { processes, pods, remembered: HashMap::default() }
    }

    /// That of a process which has connected.
    pub fn of(&mut self, peers: &Peers) -> Option<Arc<str>> {
        let processes = self.processes.as_ref()?;
        let asked = (peers.pid, process_name(peers));
        if let Some((at, workload)) = self.remembered.get(&asked)
            && at.elapsed() < REMEMBERED_FOR
        {
            return workload.clone();
        }
        let groups = std::fs::read_to_string(processes.join(format!("{}/cgroup", peers.pid)));
        // It may be gone.
        let name = groups.ok().and_then(|groups| name(&groups, |uid| self.pods.name(uid)));
        // The folder of a pod that has just begun may not have been looked at.
        let is_final = !name.as_ref().is_some_and(|name| name.starts_with("pod "));
        let workload = name.map(|name| Arc::from(printable(&name)));
        if self.remembered.len() >= MAX_PROCESSES {
            self.remembered.clear();
        }
        if is_final {
            self.remembered.insert(asked, (Instant::now(), workload.clone()));
        }
        workload
    }
}

/// The names of this node's pods by their UIDs, in bounded memory and looked up at most once a second: the folder of a
/// pod is `NAMESPACE_POD_UID`, of which no part has an underscore.
#[derive(Debug)]
struct Pods {
    folders: PathBuf,
    names: HashMap<String, String>,
    looked: Option<Instant>,
}

impl Pods {
    fn name(&mut self, uid: &str) -> Option<String> {
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() > LEAST_LOOKS_APART);
        if !self.names.contains_key(uid) && is_due {
            self.looked = Some(Instant::now());
            let all = std::fs::read_dir(&self.folders).into_iter().flatten();
            let of_folder = |name: String| {
                let (namespace, rest) = name.split_once('_')?;
                let (pod, uid) = rest.split_once('_')?;
                Some((uid.to_owned(), format!("{namespace}/{pod}")))
            };
            let names = all.filter_map(|folder| folder.ok()?.file_name().into_string().ok());
            self.names = names.filter_map(of_folder).take(MAX_PODS).collect();
        }
        self.names.get(uid).cloned()
    }
}

/// The workload of a process with these control groups, one hierarchy a line.
fn name(groups: &str, mut pod: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let of = |hierarchy: &str| {
        let line = groups.lines().find(|line| line.contains(hierarchy))?;
        // containerd, where it does without systemd, puts what it was told into one part.
        line.splitn(3, ':').nth(2).map(|path| path.split(['/', ':']).collect::<Vec<_>>())
    };
    // The second version's, and where that names nothing, the one that systemd keeps beside the first version's.
    let paths: Vec<_> = [of("0::"), of(":name=systemd:")].into_iter().flatten().collect();
    let uid = paths.iter().flatten().find_map(|part| pod_uid(part));
    if let Some(uid) = uid {
        return Some(pod(&uid).unwrap_or_else(|| format!("pod {uid}")));
    }
    let container = paths.iter().flatten().rev().find_map(|part| container(part));
    container.or_else(|| paths.iter().find_map(|path| unit(path)))
}

/// `kubepods-burstable-podUID.slice`, be it below another prefix and with underscores in the UID, or `podUID`.
fn pod_uid(part: &str) -> Option<String> {
    let by_systemd = part.strip_suffix(".slice").and_then(|slice| {
        let (prefix, uid) = slice.rsplit_once("-pod")?;
        prefix.contains("kubepods").then(|| uid.replace('_', "-"))
    });
    let uid = by_systemd.or_else(|| part.strip_prefix("pod").map(str::to_owned))?;
    // A static pod has a hash instead.
    let is_uid = matches!(uid.len(), 32 | 36)
        && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uid.then_some(uid)
}

/// `docker-ID.scope`, or the ID alone.
fn container(part: &str) -> Option<String> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let known =
        RUNTIMES.iter().find_map(|(prefix, name)| Some((part.strip_prefix(prefix)?, *name)));
    let (id, runtime) = known.unwrap_or((part, "container"));
    let is_id = id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| format!("{runtime} {}", &id[..SHOWN_DIGITS]))
}

/// The inmost `NAME.service` or `NAME.scope`, in which systemd escapes what is no letter (systemd.unit(5)), and whose
/// systemd it is, where that is not the host's own.
fn unit(path: &[&str]) -> Option<String> {
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    let at = path.iter().rposition(is_unit)?;
    let unit = path[at].replace("\\x2d", "-");
    let outer = path[..at].iter().enumerate().rev().find_map(|(index, part)| {
        let machine =
            part.strip_prefix("systemd-nspawn@").and_then(|it| it.strip_suffix(".service"));
        let user = || part.strip_prefix("user@").and_then(|it| it.strip_suffix(".service"));
        let below_lxc = || (index > 0 && path[index - 1] == "lxc").then_some(*part);
        let lxc = part.strip_prefix("lxc.payload.").or_else(below_lxc);
        machine.or(lxc).map(str::to_owned).or_else(|| user().map(|id| format!("user {id}")))
    });
    Some(outer.map_or_else(|| unit.clone(), |outer| format!("{outer}/{unit}")))
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    const ID: &str = "3f4a8d0c5b6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f701";
    const UID: &str = "0c3b0f3e-6a7d-4c4d-9e0a-5f5b8d9c1e2f";

    fn of(groups: &str) -> Option<String> {
        let known = |uid: &str| (uid == UID).then(|| "shop/bot-7d9f".to_owned());
        name(&format!("{groups}\n"), known)
    }

    #[test]
    fn a_unit_is_the_inmost_one() {
        for (groups, unit) in [
            ("0::/system.slice/nginx.service", "nginx.service"),
            ("0::/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
            ("0::/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-a\\x2db.service",
                "user 1000/app-a-b.service",
            ),
            ("0::/user.slice/user-1000.slice/user@1000.service", "user@1000.service"),
            ("0::/lxc.payload.web/system.slice/nginx.service", "web/nginx.service"),
            ("0::/lxc/101/ns/system.slice/nginx.service", "101/nginx.service"),
            (
                "0::/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service",
                "web/nginx.service",
            ),
            ("0::/system.slice/a.service/worker", "a.service"),
            ("3:cpu:/x\n1:name=systemd:/system.slice/old.service\n0::/", "old.service"),
        ] {
            assert_eq!(of(groups).as_deref(), Some(unit), "{groups}");
        }
        for groups in ["0::/", "", "0::/user.slice", "0::/../..", "1:cpu:/system.slice/a.service"] {
            assert_eq!(of(groups), None, "{groups}");
        }
    }

    #[test]
    fn a_container_is_told_by_runtime_and_id() {
        for (path, runtime) in [
            (format!("/system.slice/docker-{ID}.scope"), "docker"),
            (format!("/docker/{ID}"), "container"),
            (format!("/machine.slice/libpod-{ID}.scope/container"), "podman"),
            (format!("/system.slice/docker-{ID}.scope/init.scope"), "docker"),
            (format!("/../../system.slice/cri-containerd-{ID}.scope"), "containerd"),
        ] {
            let container = format!("{runtime} {}", &ID[..12]);
            assert_eq!(of(&format!("0::{path}")), Some(container), "{path}");
        }
        let short = format!("0::/system.slice/docker-{}.scope", &ID[1..]);
        assert_eq!(of(&short), Some(format!("docker-{}.scope", &ID[1..])), "a unit of that name");
    }

    #[test]
    fn a_pod_has_its_namespace_and_name_or_else_its_uid() {
        let by_systemd = UID.replace('-', "_");
        for path in [
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{by_systemd}.slice/cri-containerd-{ID}.scope"
            ),
            format!("/kubepods.slice/kubepods-pod{by_systemd}.slice/crio-{ID}.scope"),
            format!("/kubepods/besteffort/pod{UID}/{ID}"),
            format!("/../../pod{UID}/{ID}"),
            format!(
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort-pod{by_systemd}.slice/cri-containerd-{ID}.scope"
            ),
            format!(
                "/system.slice/containerd.service/kubepods-burstable-pod{by_systemd}.slice:cri-containerd:{ID}"
            ),
        ] {
            assert_eq!(of(&format!("0::{path}")).as_deref(), Some("shop/bot-7d9f"), "{path}");
        }
        let fixed = "d41d8cd98f00b204e9800998ecf8427e";
        let of_static = of(&format!("0::/kubepods/burstable/pod{fixed}/{ID}"));
        assert_eq!(of_static, Some(format!("pod {fixed}")));
        assert_eq!(of("0::/system.slice/podman.service").as_deref(), Some("podman.service"));
    }

    #[test]
    fn the_hosts_files_are_asked_once_for_a_while() {
        let folder = tempfile::tempdir().expect("a folder");
        let (processes, pods) = (folder.path().join("proc"), folder.path().join("pods"));
        std::fs::create_dir_all(processes.join("7")).expect("made");
        std::fs::create_dir_all(pods.join(format!("shop_bot-7d9f_{UID}"))).expect("made");
        let group = |path: &str| {
            std::fs::write(processes.join("7/cgroup"), format!("0::{path}\n")).expect("written");
        };
        group(&format!("/kubepods/pod{UID}/{ID}"));
        let mut peers = Peers::new_zeroed();
        (peers.pid, peers.command[0]) = (7, b'a');
        let mut workloads = Workloads::read(Some(processes.clone()), pods);
        assert_eq!(workloads.of(&peers).as_deref(), Some("shop/bot-7d9f"));
        group("/system.slice/b.service");
        assert_eq!(workloads.of(&peers).as_deref(), Some("shop/bot-7d9f"), "remembered");
        peers.command[0] = b'b';
        assert_eq!(workloads.of(&peers).as_deref(), Some("b.service"), "another one");
        peers.pid = 8;
        assert_eq!(workloads.of(&peers), None, "it is gone");
        for pid in 0..2 * MAX_PROCESSES as u32 {
            peers.pid = pid;
            workloads.of(&peers);
        }
        assert!(workloads.remembered.len() <= MAX_PROCESSES);
        assert_eq!(Workloads::unknown().of(&peers), None);
    }
}
