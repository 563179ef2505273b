//! Archives that are made for the purpose.

use std::io::Write;

use super::*;

/// A tar file with these entries: path, kind, link target, contents.
fn tarball(entries: &[(&str, EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, target, contents) in entries {
        let mut header = tar::Header::new_gnu();
        // As hostile archives have them: `set_path` would refuse.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_mode(0o4755);
        header.set_uid(1000);
        header.set_gid(100);
        header.set_mtime(5);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder.append(&header, *contents).unwrap();
    }
    builder.into_inner().unwrap()
}

/// What arrives at init.
fn sent(bytes: &[u8]) -> Result<(Vec<Piece>, Users), String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let mut pieces = Vec::new();
    let users = Archive::open(file.path()).and_then(|archive| {
        archive.send(|request| {
            let Request::Populate(mut more) = request else { panic!("{request:?}") };
            pieces.append(&mut more);
            Ok(())
        })
    });
    let name = format!("'{}': cannot use it as root file system: ", file.path().display());
    let users = users.map_err(|error| error.to_string().strip_prefix(&name).unwrap().to_owned())?;
    Ok((pieces, users))
}

fn entry(path: &str, kind: EntryKind) -> Piece {
    let path = path.as_bytes().to_vec();
    Piece::Entry(Entry { path, kind, mode: 0o4755, uid: 1000, gid: 100, mtime: 5_000_000_000 })
}

#[test]
fn every_kind_of_file_is_sent() {
    let (pieces, _) = sent(&tarball(&[
        ("./", EntryType::Directory, "", b""),
        ("./a/", EntryType::Directory, "", b""),
        ("/a//b", EntryType::Regular, "", b"hello"),
        ("a/c", EntryType::Symlink, "../x", b""),
        ("a/d", EntryType::Link, "./a/b", b""),
        ("null", EntryType::Char, "", b""),
        ("disk", EntryType::Block, "", b""),
        ("fifo", EntryType::Fifo, "", b""),
    ]))
    .unwrap();
    let expected = [
        entry("", EntryKind::Directory),
        entry("a", EntryKind::Directory),
        entry("a/b", EntryKind::Regular),
        Piece::Data(b"hello".to_vec()),
        entry("a/c", EntryKind::Symlink { target: b"../x".to_vec() }),
        entry("a/d", EntryKind::HardLink { target: b"a/b".to_vec() }),
        entry("null", EntryKind::CharDevice { major: 1, minor: 3 }),
        entry("disk", EntryKind::BlockDevice { major: 1, minor: 3 }),
        entry("fifo", EntryKind::Fifo),
    ];
    assert_eq!(pieces, expected);
}

#[test]
fn large_files_are_sent_in_parts_and_the_user_database_is_kept() {
    let large = vec![7; 3 * CHUNK + 1];
    let passwd = b"ann:x:7:8::/home/ann:/bin/sh\n";
    let (pieces, users) = sent(&tarball(&[
        ("large", EntryType::Regular, "", &large),
        ("etc/passwd", EntryType::Regular, "", passwd),
    ]))
    .unwrap();
    let data = pieces.iter().filter_map(|piece| match piece {
        Piece::Data(bytes) => Some(bytes.len()),
        Piece::Entry(_) => None,
    });
    assert_eq!(data.collect::<Vec<_>>(), [CHUNK, CHUNK, CHUNK, 1, passwd.len()]);
    assert_eq!(users.resolve("ann".as_ref()).unwrap().uid, 7);
}

#[test]
fn hostile_archives_get_one_line() {
    let error = |entries: &[(&str, EntryType, &str, &[u8])]| sent(&tarball(entries)).unwrap_err();
    assert_eq!(
        error(&[("a/../../etc/x", EntryType::Regular, "", b"")]),
        "'a/../../etc/x' in it leads out of the archive"
    );
    assert_eq!(
        error(&[("a", EntryType::Link, "../x", b"")]),
        "'../x' in it leads out of the archive"
    );
    assert_eq!(error(&[("/", EntryType::Regular, "", b"")]), "its root is no directory");
    assert_eq!(
        error(&[("a", EntryType::new(b'Q'), "", b"")]),
        "'a' in it is of the unknown kind 'Q'"
    );
    let whole = tarball(&[("a", EntryType::Regular, "", &[1; 5000])]);
    assert_eq!(sent(&whole[..2000]).unwrap_err(), "it is cut off");
    for garbage in [&b""[..], &[b'x'; 2000], &[0; 2000]] {
        assert!(sent(garbage).unwrap_err().starts_with("it is neither a directory nor a tar"));
    }
    // Lies about its size: 8 GB.
    let mut huge = whole;
    huge[124..136].copy_from_slice(b"77777777777\0");
    let mut header = tar::Header::from_byte_slice(&huge[..512]).clone();
    header.set_cksum();
    huge[..512].copy_from_slice(header.as_bytes());
    assert_eq!(sent(&huge).unwrap_err(), "it is cut off");
}

#[test]
fn compressed_archives_are_recognised() {
    let plain = tarball(&[("a", EntryType::Regular, "", b"hello")]);
    let expected = sent(&plain).unwrap().0;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(&plain).unwrap();
    let xz = xz.finish().unwrap();
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    // Two frames, the second one with the rest.
    let (start, end) = plain.split_at(700);
    let mut zstd = ruzstd::encoding::compress_to_vec(start, level);
    zstd.extend(ruzstd::encoding::compress_to_vec(end, level));

    for (name, compressed) in [("gzip", gzip), ("xz", xz), ("zstd", zstd)] {
        assert_eq!(sent(&compressed).unwrap().0, expected, "{name}");
        let cut = sent(&compressed[..compressed.len() / 2]).unwrap_err();
        assert!(!cut.contains('\n'), "{name}: {cut}");
        let mut damaged = compressed;
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x55;
        let _ = sent(&damaged);
    }
}

#[test]
fn a_file_that_is_no_archive_is_named() {
    let error = Archive::open(Path::new("/no/such/file.tar")).unwrap_err().to_string();
    assert!(error.starts_with("'/no/such/file.tar': cannot use it as root file system: "));
}

#[test]
fn fractions_of_seconds_are_read() {
    assert_eq!(nanoseconds("12.5"), Some(12_500_000_000));
    assert_eq!(nanoseconds("-1.25"), Some(-1_250_000_000));
    assert_eq!(nanoseconds("7"), Some(7_000_000_000));
    assert_eq!(nanoseconds("1.1234567899"), Some(1_123_456_789));
    assert_eq!(nanoseconds("x"), None);
}
